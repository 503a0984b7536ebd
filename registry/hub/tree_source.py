"""A commit's tree as a source of metadata."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from registry.folder import Entry
from registry.hub.commits import Commit
from registry.stores.blobs import Blobs


class TreeSource:
    """Files of a commit, read from the registry's contents (a `checkpoint.Source`)."""

    folder: Path | None = None

    def __init__(self, label: str, commit: Commit, blobs: Blobs) -> None:
        self.label = label
        self._commit, self._blobs = commit, blobs

    def entries(self) -> Sequence[Entry]:
        return [
            Entry(path, blob.size, sha256=blob.sha256) for path, blob in self._commit.files.items()
        ]

    def read(self, path: str, offset: int, length: int) -> bytes:
        with self._blobs.path(self._commit.files[path].sha256).open("rb") as file:
            file.seek(offset)
            return file.read(length)
