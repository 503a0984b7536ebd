"""`qreg list`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from qreg.cli.common import command_options
from qreg.cli.output import Output, size_text
from registry.config import Settings
from registry.errors import NotFoundError

if TYPE_CHECKING:
    from rich.console import Console


@click.command("list")
@click.option("--from", "url", default="", help="A store; default: the registry.")
@command_options
def command(output: Output, settings: Settings, url: str) -> None:
    """List the artifacts of the registry, newest revision first."""
    from registry.stores import open_store

    store = open_store(url or settings.registry, offline=settings.offline)
    if url and not store.exists:
        raise NotFoundError(f"{url} is not a registry", remedy="Check the path.")
    rows = []
    for name in store.names():
        for revision in store.revisions(name):
            manifest = store.snapshot(name, digest=revision.digest).manifest
            rows.append(
                {
                    "name": name,
                    "digest": str(revision.digest),
                    "tags": list(revision.tags),
                    "method": manifest.quantization.get("method", "none"),
                    "scheme": manifest.quantization.get("scheme", "FLOAT"),
                    "bytes": manifest.size,
                    "base": manifest.provenance.get("base", {}).get("name"),
                    "published": revision.published,
                }
            )

    def human(console: Console) -> None:
        if not rows:
            console.print(f"{store.url} holds no artifacts yet. Next: qreg publish FOLDER")
            return
        from rich.table import Table

        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in ("name", "digest", "tags", "scheme", "size", "published"):
            table.add_column(column, no_wrap=True)
        for row in rows:
            table.add_row(
                row["name"],
                row["digest"].removeprefix("sha256:")[:12],
                ",".join(row["tags"]),
                row["scheme"],
                size_text(row["bytes"]),
                row["published"],
            )
        console.print(table)

    essential = "\n".join(f"{row['name']}@{row['digest']}" for row in rows) or None
    output.result({"registry": store.url, "artifacts": rows}, human, essential=essential)
