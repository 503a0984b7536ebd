"""`qreg list`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from qreg.cli.common import command_options
from qreg.cli.output import Output, size_text, styled
from registry.claims import CLAIMED, WHY, plain, section
from registry.config import Settings
from registry.errors import IntegrityError, NotFoundError
from registry.names import check_name
from registry.urls import without_credentials

if TYPE_CHECKING:
    from rich.console import Console


@click.command("list")
@click.argument("name", metavar="[ORG/NAME]", required=False)
@click.option("--from", "url", default="", help="A store; default: the registry.")
@command_options
def command(output: Output, settings: Settings, name: str | None, url: str) -> None:
    """List the artifacts of the registry, or the revisions of one; newest first.

    Of a hub one must be named: qreg list ORG/NAME --from hf:// .
    """
    from registry.stores import open_store

    store = open_store(url or settings.registry, offline=settings.offline)
    if url and not store.exists:
        raise NotFoundError(f"{url} is not a registry", remedy="Check the path.")
    rows, damaged = [], list[str]()
    for one in store.names() if name is None else [check_name(name)]:
        for revision in store.revisions(one):
            # On a hub, a revision of others has no tag of its digest.
            tag = next(iter(revision.tags), None)
            try:
                manifest = store.snapshot(one, revision=tag, digest=revision.digest).manifest
            except IntegrityError as error:
                output.note(f"{error.message} {error.remedy}", warning=True)
                damaged.append(f"{one}@{revision.digest}")
                continue
            rows.append(
                {
                    "name": one,
                    "digest": str(revision.digest),
                    "tags": list(revision.tags),
                    "method": manifest.quantization.get("method", "none"),
                    "scheme": manifest.quantization.get("scheme", "FLOAT"),
                    "bytes": manifest.size,
                    "base": section(manifest.provenance, "base").get("name"),
                    "published": revision.published,
                    # Of qreg.json; `qreg inspect` derives what the files can tell.
                    "claimed": ["method", "scheme", "base"],
                }
            )
    if name is not None and not rows and not damaged:
        raise NotFoundError(
            f"{store.url} has no artifact {name}",
            remedy="Check the name; `qreg list` shows the registry, --from another place.",
        )

    where = without_credentials(store.url)

    def human(console: Console) -> None:
        if not rows and not damaged:
            console.print(f"{where} holds no artifacts yet. Next: qreg publish FOLDER")
            return
        from rich.table import Table

        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in ("name", "digest", "tags", f"scheme ({CLAIMED})", "size", "published"):
            table.add_column(column, no_wrap=True)
        for row in rows:
            table.add_row(
                row["name"],
                row["digest"].removeprefix("sha256:")[:12],
                ",".join(row["tags"]),
                plain(row["scheme"]),
                size_text(row["bytes"]),
                row["published"],
            )
        console.print(table)
        console.print(styled((f"{CLAIMED}: {WHY}; qreg inspect derives it", "dim")))

    essential = "\n".join(f"{row['name']}@{row['digest']}" for row in rows) or None
    output.result(
        {"registry": where, "artifacts": rows, "damaged": damaged}, human, essential=essential
    )
