"""A stream of bytes under way, wherever it comes from."""

from __future__ import annotations

from typing import Protocol


class Stream(Protocol):
    """Bytes that come one after the other; a file opened for reading is one."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill a part of `buffer`; return how many bytes came, 0 at the end.

        Raises:
            TransientError: the connection broke or went silent.
        """


def read_all(stream: Stream, length: int) -> bytes:
    """Up to `length` bytes of a stream; fewer at its end."""
    content = bytearray(length)
    view, reached = memoryview(content), 0
    while reached < length and (count := stream.readinto(view[reached:])):
        reached += count
    return bytes(content[:reached])
