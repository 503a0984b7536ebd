"""Where the body of an upload goes, piece by piece, hashed on its way."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from errno import EINVAL
from fcntl import F_GETFL, F_SETFL, fcntl
from mmap import mmap

_PIECE = 4 * 2**20  # bytes that are hashed and written at once
_BLOCK = 4096  # bytes; what goes to the disk past the page cache is a multiple of it


class Sink(ABC):
    """Takes a body of at most `limit` bytes; whoever has received it decides whether it is kept.

    Args:
        limit: bytes that it takes at most.
        piece: bytes that it takes at once.
    """

    def __init__(self, limit: int, piece: int = _PIECE) -> None:
        self.received, self.limit = 0, limit
        self._memory = mmap(-1, max(_BLOCK, min(piece, limit)))
        self.buffer = memoryview(self._memory)
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of what was received."""
        return self._digest.hexdigest()

    def take(self, count: int) -> None:
        """Hash and store the first bytes of `buffer`."""
        with self.buffer[:count] as content:
            self._digest.update(content)
            offset, self.received = self.received, self.received + count
            self.write(content, offset)

    @abstractmethod
    def write(self, content: memoryview, offset: int) -> None:
        """Store bytes of the body, the first of which is number `offset`."""

    @abstractmethod
    def finish(self) -> None:
        """Wait until what was received is stored durably."""

    @abstractmethod
    def keep(self) -> None:
        """Put the whole, checked body into its place."""

    def close(self) -> None:
        """Release everything; what was not kept is dropped."""
        # Here and now: whatever still refers to a body that broke off, its memory is free.
        try:
            self.buffer.release()
            self._memory.close()
        except BufferError:
            pass  # a view of it is left somewhere; it goes with that


class FileSink(Sink):
    """A file that takes a body from an offset on, past the page cache.

    An upload is answered when the disk has it. Pages of the cache would cost as much time as all
    else together, only to be waited for in the end.

    Args:
        handle: of the file, for writing; it is closed with the sink.
        offset: of the first byte.
        limit: bytes that it takes at most.
        keep: what puts the file into its place.
        drop: what is done with it when the sink is closed.
    """

    def __init__(
        self,
        handle: int,
        offset: int,
        limit: int,
        *,
        keep: Callable[[], None] = lambda: None,
        drop: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(limit)
        self._handle, self._offset, self._keep, self._drop = handle, offset, keep, drop
        self._direct = offset % _BLOCK == 0 and _set_direct(handle, True)

    def write(self, content: memoryview, offset: int) -> None:
        offset += self._offset
        while content:
            if self._direct and len(content) % _BLOCK:
                self._direct = not _set_direct(self._handle, False)  # the end of the body
            try:
                written = os.pwrite(self._handle, content, offset)
            except OSError as error:
                if error.errno != EINVAL or not self._direct:
                    raise
                self._direct = not _set_direct(self._handle, False)  # the file system cannot
                continue
            offset, content = offset + written, content[written:]

    def finish(self) -> None:
        os.fdatasync(self._handle)

    def keep(self) -> None:
        self._keep()

    def close(self) -> None:
        super().close()
        os.close(self._handle)
        self._drop()


def _set_direct(handle: int, on: bool) -> bool:
    """Let writes pass the page cache, or not; whether that could be set."""
    flags = fcntl(handle, F_GETFL)
    try:
        fcntl(handle, F_SETFL, flags | os.O_DIRECT if on else flags & ~os.O_DIRECT)
    except OSError:
        return False
    return True
