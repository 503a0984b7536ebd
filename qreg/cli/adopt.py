"""`qreg adopt`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qreg.cli.common import resolving_options
from qreg.cli.output import Output
from registry.config import Settings

if TYPE_CHECKING:
    from rich.console import Console


@click.command("adopt")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--base", required=True, help="The float model: a folder or a reference.")
@click.option("--name", required=True, help="ORG/NAME of the artifact.")
@click.option("--tool", default="", help="What made it, as far as you know: modelslim, …")
@click.option("--tool-version", default="", help="Its version, as far as you know.")
@click.option(
    "--recipe",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The practice, recipe or script that made it, as far as you know.",
)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path, exists=True),
    help="The calibration set, as far as you know.",
)
@click.option(
    "--log",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The tool's log of that run.",
)
@click.option("--note", default="", help="Anything else worth keeping.")
@click.option("--tag", "tags", multiple=True, help="A tag for the revision; may be repeated.")
@resolving_options
def command(
    output: Output,
    settings: Settings,
    *,
    folder: Path,
    base: str,
    name: str,
    tool: str,
    tool_version: str,
    recipe: Path | None,
    calibration: Path | None,
    log: Path | None,
    note: str,
    tags: tuple[str, ...],
) -> None:
    """Take FOLDER, quantized elsewhere, into the registry, with all that can be known of it.

    What its files and the base model tell is read and measured; what only you say is marked as
    claimed. The folder is never written to.
    """
    from quantizers.adopt import Claims, adopt

    claims = Claims(tool, tool_version, recipe, calibration, log, note)
    with output.progress() as observe:
        found = adopt(folder, base, name, settings, claims, tags=tags, observe=observe)
    provenance = found.manifest.provenance
    document = {
        "name": found.manifest.name,
        "digest": str(found.manifest.digest),
        "reference": found.reference,
        "scheme": found.manifest.quantization["scheme"],
        "measured": provenance["measured"],
        "quality": provenance["quality"],
        "claimed": provenance["claimed"],
        "mlflow_run": found.run_id,
    }

    def human(console: Console) -> None:
        console.print(f"Adopted as {found.reference}")
        measured = provenance["measured"]
        console.print(f"  scheme     {found.manifest.quantization['scheme']}")
        console.print(
            f"  base       {provenance['base']['name']}: {measured['unchanged_tensors']} of "
            f"{measured['float_tensors']} float tensors are unchanged"
            + (", which proves nothing" if "base" in provenance["claimed"] else "")
        )
        if "sqnr_db" in provenance["quality"]:
            console.print(f"  weights    SQNR {provenance['quality']['sqnr_db']:.2f} dB")
        console.print(f"  quantized  {measured['quantized_layers']} of {measured['layers']} layers")
        if provenance["claimed"]:
            console.print(f"  claimed    {', '.join(provenance['claimed'])}")

    output.result(document, human, essential=found.reference)
