"""Connections to the hub: how many there may be, how long they may be silent, what heads they send.

uvicorn parses HTTP with httptools, which has no limit of its own: without these anyone fills the
memory with one endless header. What is used of uvicorn here are names of `HttpToolsProtocol` that
have no documentation, so pyproject.toml bounds its version; `tests/attacks` runs all of them.
"""

from __future__ import annotations

import asyncio
import http
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LINGER = 15.0  # seconds that a refused body may still take, so that its sender reads the answer
_PIPELINED = 16  # requests of one connection that wait for the one before them


@dataclass(frozen=True)
class Limits:
    """What connections may take.

    Attributes:
        connections: that are open at one moment.
        per_address: of these, from one address; proxies that are trusted may have all.
        fields: headers of one request.
        head: bytes of a request's address and of its headers.
        patience: seconds until the head of a request that has begun is there.
        idle: seconds between two requests.
        is_proxy: tells whether an address is that of a trusted proxy.
    """

    connections: int = 4096
    per_address: int = 1024
    fields: int = 100
    head: int = 64 * 2**10
    patience: float = 15.0
    idle: int = 60
    is_proxy: Callable[[str], bool] = lambda address: False


class LimitedProtocol(HttpToolsProtocol):
    """One connection.

    Attributes:
        limits: of it.
        peers: how many connections each address has.
    """

    limits: Limits
    peers: Counter[str]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._in_head = True  # between requests, or in the head of one
        self._idle = False  # nothing of the next request is there yet
        self._taken = 0  # bytes since the parser last had something to tell
        self._head = self._fields = 0
        self._refusal = (400, "This is no HTTP request")
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._address = ""

    # ---- of the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        self.peers[self._address] += 1
        if len(self.connections) > self.limits.connections:
            self._refuse(503, "The hub has too many connections")
        elif self.peers[self._address] > self.limits.per_address and not self.limits.is_proxy(
            self._address
        ):
            self._refuse(429, "This address has too many connections")
        else:
            self._expect(self.limits.patience)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(None)
        self.resume_writing()
        self._unset_keepalive_if_required()
        self.peers[self._address] -= 1
        if not self.peers[self._address]:
            del self.peers[self._address]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.parser is None or self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        if self._in_head and self._idle:
            self._idle = False
            self._expect(self.limits.patience)
        self._taken += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.cycle.keep_alive = False  # what follows is no HTTP, and is not read
        except httptools.HttpParserError:
            self._refuse(*self._refusal)
        else:
            if self._taken > self.limits.head:  # an endless field, of a head or after a body
                self._refuse(431, "The request's headers are too long")

    # ---- of the parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head = self._fields = 0

    def on_url(self, url: bytes) -> None:
        self._count(len(url), 0)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value), 1)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._taken, self._in_head = 0, False
        self._expect(None)
        if len(self.pipeline) >= _PIPELINED:
            self._stop(429, "Too many requests at once on this connection")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._taken = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._taken, self._in_head, self._idle = 0, True, True
        super().on_message_complete()
        if self.cycle.response_complete:  # it was refused before it was there
            self._expect(self.limits.idle)

    # ---- of answers

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body:
            self._expect(_LINGER)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look_again(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _look_again(self, left: int) -> None:
        """Give a client up that takes nothing of an answer for a while."""

        def look() -> None:
            size = self.transport.get_write_buffer_size()
            if size >= left:
                self.transport.abort()
            else:
                self._look_again(size)

        self._watch = self.loop.call_later(self.limits.idle, look)

    def timeout_keep_alive_handler(self) -> None:
        self._give_up()

    # ---- of ours

    def _count(self, size: int, fields: int) -> None:
        self._taken = 0
        self._head, self._fields = self._head + size, self._fields + fields
        if self._head > self.limits.head or self._fields > self.limits.fields:
            self._stop(431, "The request's headers are too long, or too many")

    def _stop(self, status: int, message: str) -> None:
        """End what the parser does; raises."""
        self._refusal = (status, message)
        raise ValueError(message)

    def _expect(self, seconds: float | None) -> None:
        """Give the connection up unless something happens in time; None for no limit."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds is not None:
            self._timer = self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        self._timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._idle = True  # an answer is on its way, and the next request waits for it anyway
            return
        if self._in_head and not self._idle and not self.transport.is_closing():
            self._refuse(408, "The request came too slowly")
        self._give_up()

    def _give_up(self) -> None:
        """Close the connection; at once, if its client does not take what was sent to it."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def _refuse(self, status: int, message: str) -> None:
        """Answer without the application, and close; nothing is logged, as strangers do this."""
        if self.cycle is None or self.cycle.response_complete:
            head = f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\n"
            body = f"{message}\n"
            fields = f"content-type: text/plain\r\ncontent-length: {len(body)}\r\n"
            self.transport.write(f"{head}{fields}connection: close\r\n\r\n{body}".encode("ascii"))
        self._expect(None)
        self.transport.close()


def with_limits(protocol: type[LimitedProtocol], limits: Limits) -> type[LimitedProtocol]:
    """A kind of connections that share limits."""
    return type("Limited", (protocol,), {"limits": limits, "peers": Counter[str]()})
