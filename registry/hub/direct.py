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
from typing import Any

from starlette.requests import ClientDisconnect, Request
from uvicorn.protocols.http.auto import AutoHTTPProtocol

_EXTENSION = "qreg.direct"
_PIECE = 2**20  # bytes that are hashed and written at once; the processor's caches hold them
_PUSH = 16 * 2**20  # bytes that the disk is given at once
_AT_ONCE = 64  # bodies; further ones wait, with their senders held back by TCP
_SILENCE = 60.0  # seconds without a byte after which an upload is given up


class Sink:
    """A file that takes a body from an offset on.

    Args:
        handle: of the file, for writing.
        offset: of the first byte.
        limit: bytes that it takes at most.
    """

    def __init__(self, handle: int, offset: int, limit: int) -> None:
        self.received, self.limit = 0, limit
        self._handle, self._offset, self._pushed = handle, offset, 0
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of what was received."""
        return self._digest.hexdigest()

    def write(self, content: memoryview) -> None:
        """Take the next bytes."""
        self._digest.update(content)
        offset = self._offset + self.received
        self.received += len(content)
        while content:
            count = os.pwrite(self._handle, content, offset)
            offset, content = offset + count, content[count:]
        if self.received - self._pushed >= _PUSH:
            # Linux begins to write to the disk now, so that little is left to be waited for.
            begin, length = self._offset + self._pushed, self.received - self._pushed
            os.posix_fadvise(self._handle, begin, length, os.POSIX_FADV_DONTNEED)
            self._pushed = self.received


async def receive_body(request: Request, sink: Sink) -> None:
    """Receive a request's body, of at most `sink.limit` bytes.

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
        return
    buffer = bytearray()
    async for chunk in request.stream():
        buffer += chunk
        if sink.received + len(buffer) > sink.limit:
            raise ValueError(sink.limit)
        if len(buffer) >= _PIECE:
            await asyncio.to_thread(sink.write, memoryview(buffer))
            buffer = bytearray()
    if buffer:
        await asyncio.to_thread(sink.write, memoryview(buffer))


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
        begun = bytes(message.get("body", b""))
        if not message.get("more_body", False):
            await asyncio.to_thread(sink.write, memoryview(begun))
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


def _take(peer: socket.socket, sink: Sink, begun: bytes, length: int) -> None:
    buffer = memoryview(bytearray(min(_PIECE, length)))
    buffer[: len(begun)] = begun
    filled, left = len(begun), length - len(begun)
    try:
        peer.settimeout(_SILENCE)
        while left:
            count = peer.recv_into(buffer[filled:], min(len(buffer) - filled, left))
            if not count:
                raise ClientDisconnect
            filled, left = filled + count, left - count
            if filled == len(buffer):
                sink.write(buffer)
                filled = 0
        sink.write(buffer[:filled])
    except (TimeoutError, ConnectionError) as error:
        raise ClientDisconnect from error
    finally:
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
