"""An artifact in memory, as a source that refuses every read that its listing does not allow."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PosixPath
from typing import Any

from registry.errors import QregError
from registry.folder import Entry
from registry.names import check_path


class ForbiddenRead(AssertionError):
    """A read of a path that the listing does not have, or outside of the file's bytes."""


class _Folder(PosixPath):
    """Where a local artifact would lie: any folder in it can be looked at, and holds no file."""

    def stat(self, *arguments: Any, **options: Any) -> os.stat_result:
        return os.stat_result((stat.S_IFDIR | 0o755, 0, 0, 1, 0, 0, 0, 0, 0, 0))


class MemorySource:
    """A `Source` over a table of files; it records each read.

    Args:
        files: content by path. An unsafe path is listed with a problem, as a store does it.
        local: act as a folder of this machine, so that checks look into each file.
        sizes: sizes that the listing claims, where they are not those of the content.
        links: files that are links out of the folder, and that only their owner may read.

    Attributes:
        reads: path, offset and length of each read so far.
    """

    def __init__(
        self,
        files: Mapping[str, bytes],
        *,
        local: bool = False,
        sizes: Mapping[str, int] | None = None,
        links: Collection[str] = (),
    ) -> None:
        self._files = dict(files)
        self._sizes = dict(sizes or {})
        self._links = frozenset(links)
        self._entries = [self._entry(path) for path in self._files]
        self._readable = {entry.path: entry.size for entry in self._entries if not entry.problem}
        self.folder: Path | None = _Folder("in-memory") if local else None
        self.reads: list[tuple[str, int, int]] = []

    @property
    def label(self) -> str:
        return "the artifact"

    def entries(self) -> Sequence[Entry]:
        return list(self._entries)

    def read(self, path: str, offset: int, length: int) -> bytes:
        self.reads.append((path, offset, length))
        size = self._readable.get(path)
        if size is None:
            raise ForbiddenRead(f"{path!r} was read, which is not in the listing")
        if offset < 0 or length < 0 or offset + length > size:
            raise ForbiddenRead(f"{path!r} has {size} bytes; {offset} + {length} were read")
        return self._files[path][offset : offset + length]

    def _entry(self, path: str) -> Entry:
        size = self._sizes.get(path, len(self._files[path]))
        try:
            check_path(path)
        except QregError as error:
            return Entry(path, size, problem=error.message)
        if path in self._links:
            return Entry(path, size, 0o700, link=f"/elsewhere/{path}", outside=True)
        return Entry(path, size, 0o644)
