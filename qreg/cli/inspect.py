"""`qreg inspect`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qreg.cli.common import find, require_new_file, resolving_options, target_of, target_options
from qreg.cli.lint import show_findings
from qreg.cli.output import Output, size_text, styled
from registry.config import Settings

if TYPE_CHECKING:
    from rich.console import Console

    from registry.artifact import Digest
    from registry.inspection import Inspection

BAR = 32  # columns
_MOST_EVIDENCE = 5


@click.command("inspect")
@click.argument("reference")
@target_options
@click.option("--digest", is_flag=True, help="Read and hash a local folder whole, for its digest.")
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), help="Also write a report to FILE."
)
@resolving_options
def command(
    output: Output,
    settings: Settings,
    reference: str,
    chip: str | None,
    tensor_parallel: int | None,
    data_parallel: int,
    digest: bool,
    html: Path | None,
) -> None:
    """Show what REFERENCE is: architecture, schemes, footprint, where it comes from, what is wrong.

    Only metadata is read, here or on the hub. --json prints the whole manifest.
    """
    from registry.inspection import inspect

    resolved = find(reference, settings, output)
    if html is not None:
        require_new_file(html, resolved.folder)
    target = target_of(chip, tensor_parallel, data_parallel)
    with output.progress() as observe:
        found = inspect(resolved, target, hashing=digest, observe=observe)
    if html is not None:
        from registry.files import write_atomically
        from registry.report import html_report

        write_atomically(html, html_report(found).encode())
        output.note(f"Wrote {html}")
    output.result(
        found.to_json(),
        lambda console: _draw(console, found, settings),
        essential=str(found.digest or "-"),
    )


def _draw(console: Console, found: Inspection, settings: Settings) -> None:
    from rich.table import Table

    from registry.report import facts_of

    console.print(styled((found.title, "bold")))
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for key, value in facts_of(found).items():
        facts.add_row(key, value)
    console.print(facts)
    schemes = found.facts.quantization.schemes
    if schemes:
        console.print()
        table = Table(box=None, header_style="bold", pad_edge=False)
        table.add_column("layers")
        table.add_column("schemes")
        for kind, counts in schemes.items():
            table.add_row(kind, ", ".join(f"{s} × {n:,}" for s, n in counts.items()))
        console.print(table)
    console.print()
    _bars(console, found.facts.footprint)
    if found.findings:
        console.print()
        show_findings(console, found.findings)
    if found.digest is not None:
        _evidence(console, found.digest, settings)


def _evidence(console: Console, digest: Digest, settings: Settings) -> None:
    """What launches on this machine showed of it, the newest last."""
    from registry.evidence import read_evidence

    entries = [e for e in read_evidence(settings, digest) if e.get("kind") in ("launch", "smoke")]
    told = [e for e in entries if e.get("kind") == "smoke" or e.get("verdict") == "failed"]
    for entry in told[-_MOST_EVIDENCE:]:
        words = [str(entry.get(key) or "") for key in ("hardware", "engine", "release")]
        verdict = entry.get("verdict", "passed")
        cause = f": {entry['cause']}" if entry.get("cause") else ""
        line = f"{str(entry.get('time', ''))[:10]} {' '.join(filter(None, words))}{cause}"
        style = "green" if verdict == "passed" else "red"
        console.print(styled("evidence  ", (f"{verdict} ", style), (line, "default")))


def _bars(console: Console, footprint: Mapping[str, Any]) -> None:
    sizes: Mapping[str, int] = footprint["by_component"]
    parameters: Mapping[str, int] = footprint["parameters_by_component"]
    total, largest = footprint["weights"], max(sizes.values(), default=0)
    width = max(8, min(BAR, console.width - 62))
    for name, size in sizes.items():
        bar = "█" * max(1, round(width * size / largest)) if largest else ""
        share = f"{size_text(size):>11} {100 * size / total if total else 0:5.1f} %"
        count = f"  {count_text(parameters[name])} parameters" if name in parameters else ""
        console.print(styled(f"{name:<20} ", (f"{bar:<{width}} ", "cyan"), share, (count, "dim")))


def count_text(count: int) -> str:
    """A number for people: `1.03 T`, `685 B`, `14.8 M`."""
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)
