"""One content on its way: which parts are there, and how far it is hashed."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator

from registry.artifact import FileEntry
from registry.errors import TransientError
from registry.stores import parts
from registry.stores.receiving import Receiving
from registry.transport import Stream

PIECE = 2**20  # bytes that are written and hashed at once


class Incoming:
    """One content that is being received."""

    def __init__(self, entry: FileEntry) -> None:
        self.entry = entry
        self.lock = threading.Lock()
        self.receiving: Receiving | None = None
        self.todo: list[int] = []
        self.there: set[int] = set()
        self.workers = 0
        self.finished = False
        self.wrong: dict[int, int] = {}  # by source: how often its bytes were not the right ones
        self.reset()

    def reset(self) -> None:
        self.hashed, self.digest = 0, hashlib.sha256()
        self.done = 0  # bytes, for whoever watches

    def begin(self, receiving: Receiving) -> None:
        self.receiving = receiving
        self.there = receiving.arrived()
        self.todo = [n for n in range(receiving.parts) if n not in self.there]
        self.done = sum(self.span(number)[1] for number in self.there)

    def span(self, number: int) -> tuple[int, int]:
        """Offset and length of a part, in bytes."""
        return parts.span(number, self.entry.size)

    def part_at(self, offset: int) -> int:
        """The number of the part that a byte lies in."""
        return parts.part_at(offset, self.entry.size)


def pieces(stream: Stream, what: str, length: int) -> Iterator[memoryview]:
    """The next bytes of a stream in full pieces, however small the portions that they come in.

    Args:
        stream: delivers them.
        what: is read, for messages.
        length: in bytes.

    Raises:
        TransientError: the stream broke; what came before was yielded.
    """
    buffer, filled = memoryview(bytearray(min(PIECE, length))), 0
    while length:
        wanted = min(len(buffer), length)
        try:
            count = stream.readinto(buffer[filled:wanted])
            if not count:
                raise TransientError(f"{what} ended early")
        except TransientError:
            if filled:
                yield buffer[:filled]
            raise
        filled += count
        if filled == wanted:
            yield buffer[:filled]
            length, filled = length - filled, 0
