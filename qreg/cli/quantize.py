"""`qreg quantize`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qreg.cli.common import command_options
from qreg.cli.output import Output, size_text
from registry.config import Settings

if TYPE_CHECKING:
    from quantizers import QuantizationResult


@click.command("quantize")
@click.argument("source")
@click.option("--tool", default="llmcompressor", show_default=True, help="The quantizer.")
@click.option(
    "--recipe",
    default="w8a8-dynamic",
    show_default=True,
    help="A shipped recipe (w8a8-dynamic, w8a8-smooth) or the path of a YAML file.",
)
@click.option("--name", required=True, help="ORG/NAME of the result.")
@click.option("--output", "folder", type=click.Path(path_type=Path), help="A new folder for it.")
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    help='A JSONL file, a line {"text": "…"} or {"messages": […]} a sample.',
)
@click.option("--evaluate/--no-evaluate", default=True, help="Measure perplexity before and after.")
@click.option(
    "--evaluation-text",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The text to measure on; default: docstrings that ship with Python.",
)
@click.option("--trust-remote-code", is_flag=True, help="Let the model's own Python code run.")
@command_options
def command(
    output: Output,
    settings: Settings,
    source: str,
    tool: str,
    recipe: str,
    name: str,
    folder: Path | None,
    calibration: Path | None,
    evaluate: bool,
    evaluation_text: Path | None,
    trust_remote_code: bool,
) -> None:
    """Quantize the float model SOURCE (a folder or a reference) inside a tracked MLflow run."""
    from quantizers import QuantizationRequest, quantize

    request = QuantizationRequest(
        source=source,
        name=name,
        tool=tool,
        recipe=recipe,
        output=folder,
        calibration=calibration,
        evaluate=evaluate,
        evaluation_text=evaluation_text,
        trust_remote_code=trust_remote_code,
    )
    with output.progress() as observe:
        result = quantize(request, settings, observe)
    _show(output, result)


def _show(output: Output, result: QuantizationResult) -> None:
    from rich.console import Console
    from rich.table import Table

    quality = dict(result.manifest.provenance["quality"])
    document = {
        "name": result.manifest.name,
        "digest": str(result.manifest.digest),
        "folder": str(result.folder),
        "scheme": result.manifest.quantization["scheme"],
        "seconds": round(result.seconds, 1),
        "size_before": result.size_before,
        "size_after": result.size_after,
        "quality": quality,
        "mlflow_run": result.run_id,
        "log": str(result.log),
    }

    def human(console: Console) -> None:
        table = Table.grid(padding=(0, 2))
        table.add_row("quantized", result.manifest.name)
        table.add_row("digest", str(result.manifest.digest))
        for kind, schemes in result.manifest.quantization["schemes"].items():
            text = ", ".join(f"{scheme} × {count}" for scheme, count in schemes.items())
            table.add_row(f"{kind} layers", text)
        sizes = f"{size_text(result.size_before)} → {size_text(result.size_after)}"
        table.add_row("weights", sizes)
        if "sqnr_db" in quality:
            worst = f"{quality['sqnr_db_worst']:.2f} dB in the worst layer"
            table.add_row("SQNR", f"{quality['sqnr_db']:.2f} dB of all weights, {worst}")
        if "perplexity_float" in quality:
            table.add_row(
                "perplexity",
                f"{quality['perplexity_float']:.3f} float → "
                f"{quality['perplexity_quantized']:.3f} quantized "
                f"(× {quality['perplexity_ratio']:.4f})",
            )
        table.add_row("time", f"{result.seconds:.0f} s")
        table.add_row("MLflow run", result.run_id or "not sent yet")
        table.add_row("folder", str(result.folder))
        console.print(table)
        console.print(f"Next: qreg publish {result.folder}")

    output.result(document, human, essential=str(result.folder))
