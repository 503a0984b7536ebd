"""`qreg verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from qreg.cli.common import command_options
from qreg.cli.output import Output, size_text
from registry.config import Settings
from registry.errors import NotFoundError

if TYPE_CHECKING:
    from rich.console import Console


@click.command("verify")
@click.argument("reference")
@command_options
def command(output: Output, settings: Settings, reference: str) -> None:
    """Read every byte of REFERENCE (a folder or a name) and compare it with its manifest."""
    from registry.describe import read_manifest
    from registry.transfer.pulling import find_here
    from registry.transfer.verification import raise_faults, verify

    resolved = find_here(reference, settings)
    assert resolved.folder is not None
    manifest = resolved.snapshot.manifest if resolved.snapshot else read_manifest(resolved.folder)
    if manifest is None:
        raise NotFoundError(
            f"{resolved.folder} has no qreg.json to verify against",
            remedy="Publish it (qreg publish FOLDER --name ORG/NAME), then verify ORG/NAME.",
        )
    with output.progress() as observe:
        outcome = verify(resolved.folder, manifest, observe)
    raise_faults(resolved.folder, outcome)
    document = {
        "name": manifest.name,
        "digest": str(manifest.digest),
        "files": outcome.files,
        "bytes": outcome.bytes,
        "faults": [],
    }

    def human(console: Console) -> None:
        console.print(
            f"verified  {manifest.name}: {outcome.files} files, "
            f"{size_text(outcome.bytes)}, all as the manifest says"
        )
        console.print(f"digest    {manifest.digest}")

    output.result(document, human, essential=str(manifest.digest))
