"""`qreg cache`: what was pulled to this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from qreg.cli.ages import ago, seconds_of
from qreg.cli.common import command_options
from qreg.cli.output import Output, size_text
from registry.config import Settings
from registry.errors import IntegrityError, QregError

if TYPE_CHECKING:
    from rich.console import Console

    from registry.transfer.cache import Cached


@click.group("cache")
def command() -> None:
    """List, verify and prune what was pulled to this machine."""


@command.command("list")
@command_options
def list_command(output: Output, settings: Settings) -> None:
    """List the artifacts in the cache, the ones used last first."""
    from registry.transfer.cache import Cache

    found = Cache(settings).list()

    def human(console: Console) -> None:
        if not found:
            console.print("The cache is empty.")
        for cached in found:
            console.print(
                f"{cached.name}  {cached.digest.short}  {size_text(cached.size)}  "
                f"used {ago(cached.used)} ago" + ("  a part of it" if cached.part else "")
            )

    output.result([_row(c) for c in found], human, essential=str(len(found)))


@command.command("verify")
@click.option("--remove", is_flag=True, help="Remove damaged artifacts from the cache.")
@command_options
def verify_command(output: Output, settings: Settings, remove: bool) -> None:
    """Read every byte of the cache and compare it with the manifests."""
    from registry.transfer.cache import Cache
    from registry.transfer.verification import verify

    cache = Cache(settings)
    rows: list[dict[str, Any]] = []
    with output.progress() as observe:
        for cached in cache.list():
            try:
                faults = list(verify(cached.folder, cache.manifest(cached), observe).faults)
            except (QregError, OSError) as error:
                faults = [str(error)]
            rows.append({**_row(cached), "faults": faults})
            if faults and remove:
                cache.discard(cached)
    damaged = [row for row in rows if row["faults"]]
    if damaged:
        lines = [f"{row['name']} {row['digest'][:19]}: {row['faults'][0]}" for row in damaged]
        raise IntegrityError(
            f"{len(damaged)} of {len(rows)} artifacts in the cache are damaged"
            + (" and were removed" if remove else ""),
            remedy="Pull them again." if remove else "qreg cache verify --remove removes them.",
            details="\n".join(lines),
        )

    def human(console: Console) -> None:
        console.print(f"verified  {len(rows)} artifacts, all as their manifests say")

    output.result(rows, human, essential=str(len(rows)))


@command.command("prune")
@click.option(
    "--unused", default="30d", show_default=True, metavar="TIME",
    help="What was not used for so long: 12h, 30d, 4w.",
)  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="Everything, however new.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@command_options
def prune_command(
    output: Output, settings: Settings, unused: str, everything: bool, dry_run: bool
) -> None:
    """Remove artifacts that were not used for a while, and what pulls left that never ended."""
    from registry.transfer.cache import Cache

    done = Cache(settings).prune(unused=seconds_of(unused), everything=everything, dry=dry_run)
    if done.freed is None:
        output.note(
            "Another qreg is pulling right now; contents that no artifact uses "
            f"{'would be' if dry_run else 'were'} left.",
            warning=True,
        )
    freed = done.freed or 0

    def human(console: Console) -> None:
        goes, frees = ("would go  ", "would free") if dry_run else ("removed ", "freed   ")
        for cached in done.removed:
            console.print(f"{goes}  {cached.name}  {cached.digest.short}")
        console.print(f"{frees}  {size_text(freed)}")

    document = {"removed": [_row(c) for c in done.removed], "bytes": freed, "dry_run": dry_run}
    output.result(document, human, essential=str(freed))


def _row(cached: Cached) -> dict[str, Any]:
    return {
        "name": cached.name,
        "digest": str(cached.digest),
        "folder": str(cached.folder),
        "bytes": cached.size,
        "part": cached.part,
        "seconds_unused": round(cached.used),
    }
