"""Parts of files as bodies of requests: handed to the kernel, not read into this process.

Connections that know `Slice` (see `SendingPools`) use sendfile; any other, such as one through a
proxy, iterates over it, and TLS reads and encrypts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from registry.errors import TransferError

_SLICE = 4 * 2**20  # bytes between two looks at whether to go on
_PIECE = 2**20  # bytes that are read at once where sendfile is of no use


@dataclass(frozen=True)
class Slice:
    """Some bytes of an open file."""

    file: IO[bytes]
    offset: int
    length: int

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[bytes]:
        self.file.seek(self.offset)
        left = self.length
        while left:
            piece = self.file.read(min(left, _PIECE))
            if not piece:
                raise _shorter()
            left -= len(piece)
            yield piece


class Part:
    """A part of a file as the body of a request; it can be iterated again.

    Args:
        file: opened for reading.
        offset: of its first byte.
        length: in bytes.
        told: is called with the bytes of each piece that goes out.
    """

    def __init__(
        self, file: IO[bytes], offset: int, length: int, told: Callable[[int], None] | None
    ) -> None:
        self.len = length  # requests asks for it, and then sends without chunking
        self._file, self._offset, self._told, self._sent = file, offset, told, 0

    def __iter__(self) -> Iterator[Any]:  # of Slices, where requests expects bytes
        for begin in range(0, self.len, _SLICE):
            piece = Slice(self._file, self._offset + begin, min(_SLICE, self.len - begin))
            self._sent += piece.length
            if self._told:
                self._told(piece.length)
            yield piece

    def undo(self) -> None:
        """This try is over: what it reported does not count."""
        if self._told and self._sent:
            self._told(-self._sent)


class _Sending:
    """What a connection does with a `Slice`."""

    sock: Any

    def send(self, data: Any) -> None:
        if not isinstance(data, Slice):
            super().send(data)  # type: ignore[misc]
        elif self.sock.sendfile(data.file, data.offset, data.length) != data.length:
            raise _shorter()


class _Http(_Sending, HTTPConnection):
    pass


class _Https(_Sending, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


class SendingPools(HTTPAdapter):
    """Connections of requests that send parts of files with the kernel's help."""

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


def _shorter() -> TransferError:
    return TransferError(
        "A file became shorter while it was sent",
        remedy="Let whatever writes to it finish, then publish again.",
    )
