"""`qreg publish`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qreg.cli.common import command_options
from qreg.cli.output import Output, size_text
from registry.config import Settings

if TYPE_CHECKING:
    from rich.console import Console


@click.command("publish")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", default="", help="ORG/NAME; default: the name in the folder's manifest.")
@click.option("--to", "to", default="", help="A store (file:///path); default: the registry.")
@click.option("--tag", "tags", multiple=True, help="Tag the revision; may be repeated.")
@click.option(
    "--alias", default="current", show_default=True, help="Of the model version in MLflow."
)
@click.option(
    "--describe-anew",
    is_flag=True,
    help="Publish files that the folder's own manifest contradicts, without its provenance.",
)
@command_options
def command(
    output: Output,
    settings: Settings,
    folder: Path,
    name: str,
    to: str,
    tags: tuple[str, ...],
    alias: str,
    describe_anew: bool,
) -> None:
    """Publish the artifact in FOLDER; it becomes visible only when all of it is there."""
    from registry.transfer import publish

    with output.progress() as observe:
        done = publish(
            folder,
            settings,
            name=name,
            to=to,
            tags=tags,
            alias=alias,
            describe_anew=describe_anew,
            observe=observe,
        )
    document = {
        "name": done.manifest.name,
        "digest": str(done.manifest.digest),
        "reference": done.reference,
        "tags": list(done.published.tags),
        "bytes": done.manifest.size,
    }

    def human(console: Console) -> None:
        console.print(
            f"published  {done.manifest.name}  ({size_text(done.manifest.size)}, "
            f"{len(done.manifest.files)} files; tags {', '.join(done.published.tags)})"
        )
        console.print(f"digest     {done.manifest.digest}")
        console.print(f"reference  {done.reference}")
        there = f"{to.rstrip('/')}/{done.manifest.name}" if to else done.manifest.name
        console.print(f"Next: qreg plan {there}")

    output.result(document, human, essential=done.reference)
