"""`qreg quality`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qreg.cli.common import find, require_new_file, resolving_options
from qreg.cli.output import Output, styled
from registry.config import Settings

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from quantizers.quality.measure import Quality

_WORST = 10


@click.command("quality")
@click.argument("reference")
@click.option("--base", required=True, metavar="REFERENCE", help="The model it was made from.")
@click.option(
    "--text",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A text to predict; by default one that ships with Python.",
)
@click.option(
    "--against", metavar="REFERENCE", help="Another artifact of the same base, to answer beside it."
)
@click.option("--weights-only", is_flag=True, help="Leave perplexity and divergence out.")
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), help="Also write a report to FILE."
)
@click.option("--trust-remote-code", is_flag=True, help="Let the model's own Python code run.")
@resolving_options
def command(
    output: Output,
    settings: Settings,
    reference: str,
    base: str,
    against: str | None,
    text: Path | None,
    weights_only: bool,
    html: Path | None,
    trust_remote_code: bool,
) -> None:
    """Measure what quantization did to REFERENCE: its weights, and what it predicts.

    Weights are compared layer by layer with those of the base, whatever the scheme, in little
    memory. Perplexity and the divergence of the next token need the toolchain llmcompressor and
    memory for a model in float32.
    """
    from quantizers.quality.measure import measure_quality

    quantized, original = (find(named, settings, output) for named in (reference, base))
    third = find(against, settings, output) if against else None
    if html is not None:
        require_new_file(html, quantized.folder)
    with output.progress() as observe:
        found = measure_quality(
            quantized,
            original,
            settings,
            against=third,
            text=text,
            weights_only=weights_only,
            trust_remote_code=trust_remote_code,
            observe=observe,
        )
    if html is not None:
        from quantizers.quality.report import html_report
        from registry.files import write_atomically

        write_atomically(html, html_report(found).encode())
        output.note(f"Wrote {html}")
    total = found.total
    essential = f"{total.sqnr:.2f} dB" if total and total.sqnr is not None else "-"
    output.result(found.to_json(), lambda console: _draw(console, found), essential=essential)


def _draw(console: Console, found: Quality) -> None:
    from rich.table import Table

    from quantizers.quality.report import cosine, decibels, facts_of, reasons_of
    from quantizers.quality.weights import Sums

    console.print(styled((found.name, "bold")))
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for key, value in facts_of(found).items():
        facts.add_row(key, value)
    console.print(facts)
    console.print()
    kinds = _table("kind", "scheme", "compared", "SQNR", "cosine")
    for (kind, scheme), layers in found.groups().items():
        measured = [layer.sums for layer in layers if layer.sums]
        together = sum(measured, Sums()) if measured else None
        kinds.add_row(
            kind,
            scheme,
            f"{len(measured):,} of {len(layers):,}",
            decibels(together),
            cosine(together),
        )
    if found.layers:
        console.print(kinds)
    for reason, count in reasons_of(found.layers):
        console.print(f"not compared: {count:,} × {reason}")
    worst = found.worst(_WORST)
    if worst:
        console.print()
        table = _table("worst layers", "scheme", "SQNR", "cosine")
        for layer in worst:
            table.add_row(layer.module, layer.scheme, decibels(layer.sums), cosine(layer.sums))
        console.print(table)


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column)
    return table
