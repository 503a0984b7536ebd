"""A store's snapshot as a source of metadata, read by ranges."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from registry.folder import Entry
from registry.stores.interface import Snapshot


class SnapshotSource:
    """The files that a snapshot's manifest lists, and the manifest itself.

    Args:
        snapshot: of any store; it may lie on this machine or not.
    """

    folder: Path | None = None

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    @property
    def label(self) -> str:
        return self._snapshot.reference

    def entries(self) -> Sequence[Entry]:
        files = self._snapshot.manifest.files
        return [Entry(file.path, file.size, sha256=file.sha256) for file in files]

    def read(self, path: str, offset: int, length: int) -> bytes:
        return self._snapshot.read(path, offset, length)
