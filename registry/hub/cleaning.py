"""Freeing what a hub keeps for nobody: what was never committed, and what is gone."""

from __future__ import annotations

from registry.hub.backends import Backend
from registry.hub.sent import Sent


def clean(backend: Backend, *, older_than: float, dry: bool = False) -> int | None:
    """Remove contents that no commit and no revision names.

    Every commit counts, also one that no branch leads to any more: clients may have its name.

    Args:
        backend: of the hub; it may be served meanwhile.
        older_than: seconds; what came or was asked for later may be about to be committed.
        dry: only say what would be freed.

    Returns:
        Bytes that were freed; None if others are writing to the registry right now.
    """

    def named(name: str) -> set[str]:
        commits = backend.records.commits(name)
        return {blob.sha256 for commit in commits for blob in commit.files.values()}

    if not dry:
        Sent(backend.state / "sent").clean(older_than)
    return backend.contents.collect(backend.records.names, named, older_than=older_than, dry=dry)
