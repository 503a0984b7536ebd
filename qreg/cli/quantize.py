"""`qreg quantize`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qreg.cli.common import resolving_options, target_of, target_options
from qreg.cli.output import Output, size_text
from registry.config import Settings

if TYPE_CHECKING:
    from quantizers import QuantizationResult


# As quantizers.quality.budget has them, whose import `--help` should not wait for.
MODES = SHORT, FULL, NONE = "short", "full", "none"


class _Command(click.Command):
    """Knows `--evaluate` alone and `--no-evaluate`, as they were before there were modes."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        found = list(args)
        for number, word in enumerate(args[:end]):
            following = args[number + 1] if number + 1 < end else ""
            if word == "--no-evaluate":
                found[number] = f"--evaluate={NONE}"
            elif word == "--evaluate" and following not in MODES:
                found[number] = f"--evaluate={FULL}"
        return super().parse_args(ctx, found)


@click.command("quantize", cls=_Command)
@click.argument("source", required=False, default="")
@click.option(
    "--tool",
    default="",
    show_default="llmcompressor",
    help="The quantizer: llmcompressor, modelslim, or a plug-in's.",
)
@click.option(
    "--recipe",
    default="w8a8-dynamic",
    show_default=True,
    help="A shipped recipe, the path of a YAML file (ours, or the tool's own layout), or for "
    "ModelSlim practice:ID, one that comes with it. See --recipes.",
)
@click.option(
    "--recipes",
    "listing",
    is_flag=True,
    help="List the recipes, with SOURCE those that fit it and the practices that ModelSlim brings "
    "for it, and end.",
)
@click.option("--name", default="", help="ORG/NAME of the result.")
@click.option("--output", "folder", type=click.Path(path_type=Path), help="A new folder for it.")
@click.option(
    "--calibration",
    help='A file of JSON Lines, or a JSON array; a sample is "…" or {"text": "…"}, for '
    'LLM-Compressor also {"messages": […]}, or the folder or name of a data set. ModelSlim falls '
    "back to its own.",
)
@click.option(
    "--anti-dataset",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="ModelSlim's scripts and v0 practices: a file of such samples to smooth outliers with.",
)
@click.option(
    "--device",
    default="",
    help="ModelSlim: cpu, npu or npu:0,1,…; by default the NPU if there is one.",
)
@click.option(
    "--script",
    type=click.Path(path_type=Path),
    help="ModelSlim: a script of its repository in place of a recipe, such as "
    "example/Qwen3-MOE/quant_qwen_moe_w8a8.py; its own options follow after --.",
)
@click.option(
    "--model-type",
    default="",
    help="ModelSlim: its name for the kind of model; by default from config.json.",
)
@click.option(
    "--toolchain",
    default="",
    help="Another toolchain than the one that the tool takes for this model.",
)
@target_options
@click.option(
    "--evaluate",
    type=click.Choice(MODES),
    default=SHORT,
    show_default=True,
    help="Measure perplexity before and after, and the error of the weights: short takes no longer "
    "than the tool or a minute, full measures everything, as --evaluate alone does.",
)
@click.option(
    "--no-evaluate",
    is_flag=True,
    expose_value=False,
    help="As --evaluate none; it will go.",
)
@click.option(
    "--evaluation-text",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The text to measure on; default: docstrings that ship with Python.",
)
@click.option(
    "--keep-rejected/--discard-rejected",
    default=True,
    show_default=True,
    help="Keep what does not pass the checks beside the output, as OUTPUT.rejected.",
)
@click.option("--trust-remote-code", is_flag=True, help="Let the model's own Python code run.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGUMENTS]...")
@resolving_options
def command(
    output: Output,
    settings: Settings,
    *,
    source: str,
    tool: str,
    recipe: str,
    listing: bool,
    name: str,
    folder: Path | None,
    calibration: str | None,
    anti_dataset: Path | None,
    device: str,
    script: Path | None,
    model_type: str,
    toolchain: str,
    chip: str | None,
    tensor_parallel: int | None,
    data_parallel: int,
    evaluate: str,
    evaluation_text: Path | None,
    keep_rejected: bool,
    trust_remote_code: bool,
    arguments: tuple[str, ...],
) -> None:
    """Quantize the float model SOURCE (a folder or a reference) inside a tracked MLflow run.

    \b
    qreg quantize ./Qwen3-8B --name org/Qwen3-8B-W8A8
    qreg quantize ./Qwen3-30B-A3B --tool modelslim --recipe w8a8-moe --device npu:0,1 \\
        --target A3 --name org/Qwen3-30B-A3B-W8A8
    """
    if listing:
        from qreg.cli.recipes import list_recipes

        list_recipes(output, settings, source, tool)
        return
    for what, given in (("SOURCE", source), ("--name", name)):
        if not given:
            raise click.UsageError(f"{what} is missing.")

    from quantizers import QuantizationRequest, quantize
    from quantizers.interface import Options

    request = QuantizationRequest(
        source=source,
        name=name,
        tool=tool or "llmcompressor",
        recipe=recipe,
        output=folder,
        calibration=calibration,
        anti_dataset=anti_dataset,
        evaluate=evaluate,
        evaluation_text=evaluation_text,
        target=target_of(chip, tensor_parallel, data_parallel),
        toolchain=toolchain,
        keep_rejected=keep_rejected,
        options=Options(device, model_type, trust_remote_code, script, arguments),
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
        "evaluation": result.manifest.provenance.get("evaluation"),
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
            extent = result.manifest.provenance["evaluation"]
            table.add_row(
                "perplexity",
                f"{quality['perplexity_float']:.3f} float → "
                f"{quality['perplexity_quantized']:.3f} quantized "
                f"(× {quality['perplexity_ratio']:.4f}), on {extent['tokens']:,} of "
                f"{extent['of_tokens']:,} tokens",
            )
        table.add_row("time", f"{result.seconds:.0f} s")
        table.add_row("MLflow run", result.run_id or "not sent yet")
        table.add_row("folder", str(result.folder))
        console.print(table)
        console.print(f"Next: qreg publish {result.folder}")

    output.result(document, human, essential=str(result.folder))
