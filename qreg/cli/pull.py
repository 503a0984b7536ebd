"""`qreg pull`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qreg.cli.common import command_options
from qreg.cli.output import Output, size_text
from registry.config import Settings

if TYPE_CHECKING:
    from rich.console import Console


@click.command("pull")
@click.argument("reference")
@click.option(
    "--output", "folder", type=click.Path(path_type=Path), help="A new folder for a copy."
)
@command_options
def command(output: Output, settings: Settings, reference: str, folder: Path | None) -> None:
    """Bring REFERENCE to this machine and verify the sha256 of every file."""
    from registry.transfer import pull

    with output.progress() as observe:
        pulled = pull(
            reference, settings, output=folder.absolute() if folder else None, observe=observe
        )
    manifest = pulled.manifest
    document = {
        "name": manifest.name,
        "digest": str(manifest.digest),
        "folder": str(pulled.folder),
        "files": len(manifest.files),
        "bytes": manifest.size,
        "verified": True,
    }

    def human(console: Console) -> None:
        console.print(
            f"pulled    {manifest.name}: {len(manifest.files)} files, "
            f"{size_text(manifest.size)}, every sha256 verified"
        )
        console.print(f"digest    {manifest.digest}")
        console.print(f"folder    {pulled.folder}")

    output.result(document, human, essential=str(pulled.folder))
