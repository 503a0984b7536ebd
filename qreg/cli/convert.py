"""`qreg convert`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qreg.cli.common import find, resolving_options
from qreg.cli.output import Output
from registry.config import Settings

if TYPE_CHECKING:
    from rich.console import Console

_FORMATS = ("compressed-tensors", "modelslim")


@click.command("convert")
@click.argument("reference")
@click.option(
    "--format", "target", type=click.Choice(_FORMATS), required=True, help="What it shall become."
)
@click.option("--name", required=True, metavar="ORG/NAME", help="What the result is called.")
@click.option(
    "--output", "folder", type=click.Path(path_type=Path), help="A new folder for the result."
)
@resolving_options
def command(
    output: Output,
    settings: Settings,
    reference: str,
    target: str,
    name: str,
    folder: Path | None,
) -> None:
    """Write REFERENCE in another quantizer's format, bit for bit.

    ModelSlim's W8A8_DYNAMIC and compressed-tensors' INT8 (weights with a scale a channel,
    activations with one a token) say the same. What has no exact counterpart is refused.
    """
    from quantizers.convert import convert

    resolved = find(reference, settings, output)
    with output.progress() as observe:
        done = convert(resolved, target, name, settings, output=folder, observe=observe)
    manifest = done.manifest
    derived = manifest.provenance["derived_from"]
    document = {
        "name": manifest.name,
        "digest": str(manifest.digest),
        "folder": str(done.folder),
        "format": target,
        "schemes": manifest.quantization["schemes"],
        "derived_from": derived,
    }

    def human(console: Console) -> None:
        console.print(f"converted  {manifest.name}, {derived['from']} → {target}")
        console.print(f"digest     {manifest.digest}")
        console.print(f"from       {derived['name']}  {derived['digest']}")
        for part in derived.get("left_out", ()):
            console.print(f"left out   {part}")
        console.print(f"folder     {done.folder}")
        console.print(f"Next: qreg publish {done.folder}")

    output.result(document, human, essential=str(done.folder))
