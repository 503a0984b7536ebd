"""Bodies of uploads, from the socket to the disk past the event loop.

Through the loop, a byte of an upload is copied five times, and Python wakes for each 64 KiB. So
where the server can, a thread takes the socket for as long as the body lasts: it receives into one
buffer, hashes and writes. The connection is closed after the answer, as the server's parser has not
seen the body. Whoever has no such connection, a test for example, gets the body as ASGI sends it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
from collections.abc import Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from errno import EINVAL
from fcntl import F_GETFL, F_SETFL, fcntl
from mmap import mmap
from typing import Any

from starlette.requests import ClientDisconnect, Request
from uvicorn.protocols.http.auto import AutoHTTPProtocol

_EXTENSION = "qreg.direct"
_PIECE = 4 * 2**20  # bytes that are hashed and written at once
_BLOCK = 4096  # bytes; what goes to the disk past the page cache is a multiple of it
_AT_ONCE = 64  # bodies; further ones wait, with their senders held back by TCP
_SILENCE = 60.0  # seconds without a byte after which an upload is given up


class Sink:
    """A file that takes a body from an offset on, piece by piece, past the page cache.

    An upload is answered when the disk has it. Pages of the cache would cost as much time as all
    else together, only to be waited for in the end.

    Args:
        handle: of the file, for writing.
        offset: of the first byte.
        limit: bytes that it takes at most.
    """

    def __init__(self, handle: int, offset: int, limit: int) -> None:
        self.received, self.limit = 0, limit
        self.buffer = memoryview(mmap(-1, max(_BLOCK, min(_PIECE, limit))))
        self._handle, self._offset = handle, offset
        self._digest = hashlib.sha256()
        self._direct = offset % _BLOCK == 0 and _set_direct(handle, True)

    @property
    def sha256(self) -> str:
        """Of what was received."""
        return self._digest.hexdigest()

    def take(self, count: int) -> None:
        """Hash and write the first bytes of `buffer`."""
        content = self.buffer[:count]
        self._digest.update(content)
        offset = self._offset + self.received
        self.received += count
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
        """Wait until the disk has all of it."""
        os.fdatasync(self._handle)


def _set_direct(handle: int, on: bool) -> bool:
    """Let writes pass the page cache, or not; whether that could be set."""
    flags = fcntl(handle, F_GETFL)
    try:
        fcntl(handle, F_SETFL, flags | os.O_DIRECT if on else flags & ~os.O_DIRECT)
    except OSError:
        return False
    return True


async def receive_body(request: Request, sink: Sink) -> None:
    """Receive a request's body, of at most `sink.limit` bytes, onto the disk.

    Raises:
        ClientDisconnect: the connection ended, or fell silent, before the body did.
        ValueError: the body is longer than the sink takes.
    """
    told = request.headers.get("Content-Length", "")
    if told.isdigit() and int(told) > sink.limit:
        raise ValueError(told)
    direct: _Direct | None = request.scope.get("extensions", {}).get(_EXTENSION)
    if direct is not None and told.isdigit():
        await direct.receive(request, sink, int(told))
    else:
        await _receive_stream(request, sink)
    await asyncio.to_thread(sink.finish)


async def _receive_stream(request: Request, sink: Sink) -> None:
    filled = 0
    async for chunk in request.stream():
        if sink.received + filled + len(chunk) > sink.limit:
            raise ValueError(sink.limit)
        rest = memoryview(chunk)
        while rest:
            count = min(len(rest), len(sink.buffer) - filled)
            sink.buffer[filled : filled + count] = rest[:count]
            filled, rest = filled + count, rest[count:]
            if filled == len(sink.buffer):
                await asyncio.to_thread(sink.take, filled)
                filled = 0
    await asyncio.to_thread(sink.take, filled)


class _Direct:
    """One connection of uvicorn, as far as its bodies are taken from it."""

    def __init__(self, protocol: Any, pool: ThreadPoolExecutor) -> None:
        self._protocol, self._pool = protocol, pool

    async def receive(self, request: Request, sink: Sink, length: int) -> None:
        # What came with the headers; and a client that waits for it is told to go on.
        message = await request.receive()
        # Nothing is read between the two: there is no await.
        self._protocol.flow.pause_reading()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        begun = message.get("body", b"")
        if len(begun) >= length:
            await asyncio.to_thread(_take, None, sink, begun[:length], length)
            return
        self._protocol.cycle.keep_alive = False
        peer = self._protocol.transport.get_extra_info("socket")
        taken = socket.socket(fileno=os.dup(peer.fileno()))
        work = self._pool.submit(_take, taken, sink, begun, length)
        try:
            await asyncio.wrap_future(work)
        except asyncio.CancelledError:  # the server ends: so must the thread, before its file
            with suppress(OSError):
                taken.shutdown(socket.SHUT_RD)
            wait([work])
            if work.cancelled():  # before it began
                taken.close()
            raise


def _take(peer: socket.socket | None, sink: Sink, begun: bytes, length: int) -> None:
    """Receive a body that has begun already."""
    buffer, left, filled = sink.buffer, length, 0
    try:
        if peer is not None:
            peer.settimeout(_SILENCE)
        while left:
            wanted = min(len(buffer) - filled, left)
            if begun:
                count = min(wanted, len(begun))
                buffer[filled : filled + count] = begun[:count]
                begun = begun[count:]
            else:
                count = peer.recv_into(buffer[filled:], wanted) if peer is not None else 0
            if not count:
                raise ClientDisconnect
            filled, left = filled + count, left - count
            if filled == len(buffer):
                sink.take(filled)
                filled = 0
        sink.take(filled)
    except (TimeoutError, ConnectionError) as error:
        raise ClientDisconnect from error
    finally:
        if peer is not None:
            peer.close()


def with_direct(pool: ThreadPoolExecutor) -> type[asyncio.Protocol]:
    """uvicorn's HTTP protocol, offering its sockets to the application."""

    class Protocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        app: Any

        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            inner: Callable[..., Any] = self.app
            direct = _Direct(self, pool)

            async def app(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
                scope.setdefault("extensions", {})[_EXTENSION] = direct
                await inner(scope, receive, send)

            self.app = app

    return Protocol


def new_pool() -> ThreadPoolExecutor:
    """Threads for bodies; they begin as they are needed."""
    return ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="body")
