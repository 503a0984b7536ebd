"""Large bodies between the socket and where they are kept, past the event loop.

Through the loop, a byte of an upload is copied five times, and Python wakes for each 64 KiB. So
where the server can, a thread takes the socket for as long as the body lasts: it receives into one
buffer, hashes and writes. The connection is closed after the answer, as the server's parser has not
seen the body. A file that is asked for is sent by the kernel. Whoever has no such connection, a
test for example, gets bodies as ASGI sends them; so does a download that finds all threads busy.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, MutableMapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from io import FileIO
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from registry.hub.bodies import SILENCE, SLOWEST
from registry.hub.connections import LimitedProtocol
from registry.hub.parsing import whole
from registry.hub.sinks import Sink

T = TypeVar("T")
Scope = MutableMapping[str, Any]
_EXTENSION = "qreg.direct"
_AT_ONCE = 64  # bodies each way; further uploads wait, with their senders held back by TCP


async def receive_body(request: Request, sink: Sink) -> None:
    """Receive a request's body, of at most `sink.limit` bytes, onto the disk.

    Raises:
        ClientDisconnect: the connection ended, or fell silent, before the body did.
        ValueError: the body is longer than the sink takes.
    """
    told = whole(request.headers.get("Content-Length", ""))
    if told is not None and told > sink.limit:
        raise ValueError(told)
    direct: _Direct | None = request.scope.get("extensions", {}).get(_EXTENSION)
    if direct is not None and told is not None:
        await direct.receive(request, sink, told)
    else:
        await _receive_stream(request, sink)
    await asyncio.to_thread(sink.finish)


async def _receive_stream(request: Request, sink: Sink) -> None:
    filled = 0
    more = True
    while more:
        try:
            message = await asyncio.wait_for(request.receive(), SILENCE)
        except asyncio.TimeoutError as error:
            raise ClientDisconnect from error
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk, more = message.get("body", b""), message.get("more_body", False)
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


async def send_file(scope: Scope, file: FileIO, length: int) -> bool:
    """Send a file's next bytes as the body of an answer whose headers are out.

    Args:
        scope: of the request.
        file: stands at the first byte.
        length: in bytes.

    Returns:
        Whether that was done; else the caller does it.

    Raises:
        ClientDisconnect: the connection ended, or nothing was taken from it for a minute.
    """
    direct: _Direct | None = scope.get("extensions", {}).get(_EXTENSION)
    return direct is not None and await direct.send(file, length)


class Pool:
    """Threads for bodies, each way; they begin as they are needed."""

    def __init__(self) -> None:
        self.receivers = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="body-in")
        self.senders = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="body-out")
        self.sending = 0


class _Direct:
    """One request on a connection of uvicorn, as far as its bodies pass the loop.

    Args:
        protocol: of the connection.
        cycle: of the request; the protocol's own may be that of the next one already.
        pool: of threads.
    """

    def __init__(self, protocol: Any, cycle: Any, pool: Pool) -> None:
        self._protocol, self._cycle, self._pool = protocol, cycle, pool

    def end(self) -> None:
        """End a request that nobody waits for: its client went away, or the server ends.

        That is no error, and uvicorn would log it as one of the application's.
        """
        self._cycle.disconnected = True
        self._protocol.transport.abort()

    async def send(self, file: FileIO, length: int) -> bool:
        cycle, transport = self._cycle, self._protocol.transport
        # h11 counts an answer's bytes for itself.
        if self._pool.sending >= _AT_ONCE or not hasattr(cycle, "expected_content_length"):
            return False
        while transport.get_write_buffer_size():  # the headers
            await asyncio.sleep(0.001)
        if transport.is_closing():
            raise ClientDisconnect
        self._pool.sending += 1
        try:
            with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as peer:
                peer.settimeout(SILENCE)
                sent = await _shut_down_with(
                    self._pool.senders.submit(peer.sendfile, file, file.tell(), length), peer
                )
        except OSError as error:
            transport.abort()
            raise ClientDisconnect from error
        finally:
            self._pool.sending -= 1
        cycle.expected_content_length -= sent
        return True

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
        self._cycle.keep_alive = False
        peer = self._protocol.transport.get_extra_info("socket")
        taken = socket.socket(fileno=os.dup(peer.fileno()))
        await _shut_down_with(self._pool.receivers.submit(_take, taken, sink, begun, length), taken)


async def _shut_down_with(work: Future[T], peer: socket.socket) -> T:
    """Wait for what a thread does with a socket; if the server ends, the thread does first."""
    try:
        return await asyncio.wrap_future(work)
    except asyncio.CancelledError:  # so must the thread, before its file
        with suppress(OSError):
            peer.shutdown(socket.SHUT_RDWR)
        wait([work])
        if work.cancelled():  # before it began
            peer.close()
        raise
    finally:
        del work  # it holds its exception, and that this frame: a circle that nobody breaks soon


def _take(peer: socket.socket | None, sink: Sink, begun: bytes, length: int) -> None:
    """Receive a body that has begun already."""
    buffer, left, filled, began = sink.buffer, length, 0, time.monotonic()
    try:
        if peer is not None:
            peer.settimeout(SILENCE)
        while left:
            wanted = min(len(buffer) - filled, left)
            if begun:
                count = min(wanted, len(begun))
                buffer[filled : filled + count] = begun[:count]
                begun = begun[count:]
            else:
                count = peer.recv_into(buffer[filled:], wanted) if peer is not None else 0
            if not count or time.monotonic() - began > SILENCE + (length - left) / SLOWEST:
                raise ClientDisconnect
            filled, left = filled + count, left - count
            if filled == len(buffer):
                sink.take(filled)
                filled = 0
        if filled:
            sink.take(filled)
    except (TimeoutError, ConnectionError) as error:
        raise ClientDisconnect from error
    finally:
        if peer is not None:
            peer.close()


def with_direct(pool: Pool) -> type[LimitedProtocol]:
    """The hub's HTTP protocol, offering its sockets to the application."""

    class Protocol(LimitedProtocol):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            inner: Callable[..., Any] = self.app

            async def app(scope: Scope, receive: Any, send: Any) -> None:
                direct = _Direct(self, receive.__self__, pool)
                scope.setdefault("extensions", {})[_EXTENSION] = direct
                try:
                    await inner(scope, receive, send)
                except (ClientDisconnect, asyncio.CancelledError):
                    direct.end()

            self.app = app

    return Protocol
