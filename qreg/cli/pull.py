"""`qreg pull`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qreg.cli.common import resolving_options
from qreg.cli.output import Output, size_text
from registry.config import Settings

if TYPE_CHECKING:
    from rich.console import Console


@click.command("pull")
@click.argument("reference")
@click.option(
    "--output", "folder", type=click.Path(path_type=Path), help="A new folder for a copy."
)
@click.option("--include", multiple=True, metavar="PATTERN", help="Only these files: '*.json'.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Not these files.")
@click.option("--offline", is_flag=True, help="Use only what is on this machine.")
@resolving_options
def command(
    output: Output,
    settings: Settings,
    reference: str,
    folder: Path | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    offline: bool,
) -> None:
    """Bring REFERENCE to this machine and verify the sha256 of every file.

    What is not here comes into the cache (`qreg cache`). A pull that was cut off goes on where it
    was. If a source fails, the next one of QREG_SOURCES that has the same digest is used.
    """
    from registry.transfer.pulling import pull

    if offline:
        settings = replace(settings, offline=True)
    with output.progress() as observe:
        pulled = pull(
            reference,
            settings,
            output=folder.absolute() if folder else None,
            include=include,
            exclude=exclude,
            observe=observe,
        )
    manifest = pulled.manifest
    size = sum(entry.size for entry in pulled.files)
    document = {
        "name": manifest.name,
        "digest": str(manifest.digest),
        "folder": str(pulled.folder),
        "reference": pulled.reference,
        "files": len(pulled.files),
        "bytes": size,
        "verified": True,
    }

    def human(console: Console) -> None:
        console.print(
            f"pulled    {manifest.name}: {len(pulled.files)} files, "
            f"{size_text(size)}, every sha256 verified"
        )
        console.print(f"digest    {manifest.digest}")
        console.print(f"folder    {pulled.folder}")

    output.result(document, human, essential=str(pulled.folder))
