"""`qreg publish`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qreg.cli.common import resolving_options
from qreg.cli.output import Output, size_text
from qreg.cli.sending import send_later
from registry.config import Settings

if TYPE_CHECKING:
    from rich.console import Console


@click.command("publish")
@click.argument("source")
@click.option("--name", default="", help="ORG/NAME; default: the name in the folder's manifest.")
@click.option(
    "--to",
    "to",
    multiple=True,
    help="A store: hf://, ms://, s3://BUCKET/PREFIX, file:///path; may be repeated. "
    "Default: the registry.",
)
@click.option("--tag", "tags", multiple=True, help="Tag the revision; may be repeated.")
@click.option(
    "--alias", default="current", show_default=True, help="Of the model version in MLflow."
)
@click.option("--public", is_flag=True, help="Let anyone read it; default: private.")
@click.option("--license", default="", help="For the model card, where one is written.")
@click.option(
    "--accept", multiple=True, metavar="CHECK", help="Publish despite errors of this check of lint."
)
@click.option(
    "--describe-anew",
    is_flag=True,
    help="Publish files that the folder's own manifest contradicts, without its provenance.",
)
@click.option(
    "--wait",
    is_flag=True,
    help="Return when MLflow has it. Else a process of its own tells the embedded MLflow; a "
    "server of yours is always waited for.",
)
@resolving_options
def command(
    output: Output,
    settings: Settings,
    source: str,
    name: str,
    to: tuple[str, ...],
    tags: tuple[str, ...],
    alias: str,
    public: bool,
    license: str,
    accept: tuple[str, ...],
    describe_anew: bool,
    wait: bool,
) -> None:
    """Publish SOURCE, a folder or a reference; it becomes visible only when all of it is there.

    A reference is copied: pulled, verified, and published elsewhere. Errors that `qreg lint` finds
    keep an artifact from being published.
    """
    from registry.reference import Reference, looks_like_folder
    from registry.tracking.journal import journals
    from registry.transfer.publishing import publish

    wait = wait or not settings.embedded_tracking  # this machine may be gone when others ask
    try:
        with output.progress() as observe:
            done = publish(
                Path(Reference.parse(source).location) if looks_like_folder(source) else source,
                settings,
                name=name,
                to=to,
                tags=tags,
                alias=alias,
                public=public,
                license=license,
                accept=accept,
                describe_anew=describe_anew,
                wait=wait,
                observe=observe,
            )
    finally:
        if not wait and journals(settings):  # also if only one of two stores took it
            send_later()
    document = {
        "name": done.manifest.name,
        "digest": str(done.manifest.digest),
        "reference": done.reference,
        "references": list(done.references),
        "tags": list(done.published.tags),
        "bytes": done.manifest.size,
    }

    def human(console: Console) -> None:
        console.print(
            f"published  {done.manifest.name}  ({size_text(done.manifest.size)}, "
            f"{len(done.manifest.files)} files; tags {', '.join(done.published.tags)})"
        )
        console.print(f"digest     {done.manifest.digest}")
        for reference in done.references:
            console.print(f"reference  {reference}")
        there = done.reference if to else done.manifest.name
        console.print(f"Next: qreg plan {there}")

    output.result(document, human, essential=done.reference)
