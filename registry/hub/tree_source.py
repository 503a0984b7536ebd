"""A commit's tree as a source of metadata."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from registry.folder import Entry
from registry.hub.backends import Contents
from registry.hub.commits import Commit
from registry.transport.stream import read_all


class TreeSource:
    """Files of a commit (a `checkpoint.Source`).

    Args:
        name: ORG/NAME of the repository.
        commit: of it.
        contents: holds the files.
    """

    folder: Path | None = None

    def __init__(self, name: str, commit: Commit, contents: Contents) -> None:
        self.label = name
        self._commit, self._contents = commit, contents

    def entries(self) -> Sequence[Entry]:
        return [
            Entry(path, blob.size, sha256=blob.sha256) for path, blob in self._commit.files.items()
        ]

    def read(self, path: str, offset: int, length: int) -> bytes:
        blob = self._commit.files[path]
        length = min(length, blob.size - offset)
        if length <= 0:
            return b""
        with self._contents.stream(self.label, blob.sha256, offset, length) as stream:
            return read_all(stream, length)
