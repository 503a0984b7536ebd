"""A content that is being received: a file that is locked by itself, and a map of its parts.

FOLDER/abcdef…        what arrived, at its place
FOLDER/abcdef….parts  a byte a part of it: 1 for what has arrived
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from registry.stores import parts

MARKS = ".parts"  # ends the name of the map


class Receiving:
    """One content on its way, locked against other processes.

    Args:
        folder: that it arrives in.
        sha256: of it.
        size: in bytes.
        put: moves what is whole and checked to where contents lie.
    """

    def __init__(
        self, folder: Path, sha256: str, size: int, put: Callable[[str, Path], None]
    ) -> None:
        self.sha256, self.size = sha256, size
        self._put = put
        self._path = folder / sha256
        self._marks = self._path.with_name(sha256 + MARKS)
        self._file = self._map = -1

    @property
    def parts(self) -> int:
        """How many parts the content has."""
        return parts.count(self.size)

    def open(self) -> bool:
        """Open and lock its files; False if another process has it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        flags, mine = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, False
        while True:
            self._file = os.open(self._path, flags, 0o600)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whoever had it before may have finished it: then the name is another file's.
                status = os.fstat(self._file)
                if os.path.samestat(status, self._path.stat()):
                    # A file server may give new files another owner than who makes them.
                    if status.st_uid == os.geteuid() or mine:
                        break
                    self._path.unlink()  # who owns it could write to it after it was hashed
                    mine = True
            except BlockingIOError:
                self.close()
                return False
            except FileNotFoundError:
                pass
            self.close()
        self._map = os.open(self._marks, flags, 0o600)
        if os.fstat(self._file).st_size > self.size:
            self.discard()
        return True

    def arrived(self) -> set[int]:
        """The numbers of the parts that are there already."""
        marks = os.pread(self._map, self.parts, 0)
        length = os.fstat(self._file).st_size
        return {
            number
            for number, mark in enumerate(marks)
            if mark == 1 and sum(parts.span(number, self.size)) <= length
        }

    def write(self, offset: int, content: memoryview) -> None:
        """Put bytes at their place."""
        while content:
            count = os.pwrite(self._file, content, offset)
            offset, content = offset + count, content[count:]

    def read(self, offset: int, buffer: memoryview) -> int:
        """Bytes that arrived, for hashing."""
        return os.preadv(self._file, [buffer], offset)

    def mark(self, number: int) -> None:
        """Note that a part is there."""
        os.pwrite(self._map, b"\1", number)

    def discard(self) -> None:
        """Forget all that arrived: it was not what it should be."""
        os.ftruncate(self._map, 0)
        os.ftruncate(self._file, 0)

    def finish(self) -> None:
        """Put the whole, checked content into place."""
        self._put(self.sha256, self._path)
        self._marks.unlink(missing_ok=True)

    def drop(self) -> None:
        """Remove what arrived: the content is there by other means."""
        self._path.unlink(missing_ok=True)
        self._marks.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let others go on; what arrived stays."""
        for handle in (self._file, self._map):
            if handle >= 0:
                os.close(handle)
        self._file = self._map = -1
