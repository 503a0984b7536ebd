"""`qreg verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from qreg.cli.common import resolving_options
from qreg.cli.output import Output, size_text
from registry.config import Settings
from registry.errors import IntegrityError, NotFoundError, QregError, UsageError

if TYPE_CHECKING:
    from rich.console import Console


@click.command("verify")
@click.argument("reference", required=False)
@click.option("--all", "everything", is_flag=True, help="Every revision of a registry.")
@click.option("--from", "url", default="", help="With --all: file:///path; default: yours.")
@resolving_options
def command(
    output: Output, settings: Settings, reference: str | None, everything: bool, url: str
) -> None:
    """Read every byte of REFERENCE (a folder or a name) and compare it with its manifest.

    With --all, of everything in a registry's folder: of a hub's, on the machine that it lies on.
    """
    if everything == bool(reference) or (url and not everything):
        raise UsageError(
            "Verify one artifact, or all of a registry",
            remedy="Write qreg verify REFERENCE, or qreg verify --all --from file:///path .",
        )
    if reference is None:
        _verify_all(output, settings, url or settings.registry)
    else:
        _verify_one(output, settings, reference)


def _verify_one(output: Output, settings: Settings, reference: str) -> None:
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


def _verify_all(output: Output, settings: Settings, url: str) -> None:
    from registry.stores import open_store
    from registry.stores.local import LocalStore
    from registry.transfer.verification import verify

    store = open_store(url, offline=settings.offline)
    if not isinstance(store, LocalStore) or not store.exists:
        raise UsageError(
            f"{url} is not a registry in a folder of this machine",
            remedy="Write --from file:///path; of other places, verify what was pulled.",
        )
    rows: list[dict[str, Any]] = []
    with output.progress() as observe:
        for name in store.names():
            for revision in store.revisions(name):
                snapshot = store.snapshot(name, digest=revision.digest)
                try:
                    faults = list(verify(snapshot.folder, snapshot.manifest, observe).faults)
                except (QregError, OSError) as error:
                    faults = [str(error)]
                rows.append({"name": name, "digest": str(revision.digest), "faults": faults})
    damaged = [row for row in rows if row["faults"]]
    if damaged:
        raise IntegrityError(
            f"{len(damaged)} of {len(rows)} revisions in {store.url} are damaged",
            remedy=f"Publish the intact origins again, with --to {store.url}: that mends them.",
            details="\n".join(f"{r['name']}@{r['digest']}: {r['faults'][0]}" for r in damaged),
        )

    def human(console: Console) -> None:
        console.print(f"verified  {len(rows)} revisions, all as their manifests say")

    output.result(rows, human, essential=str(len(rows)))
