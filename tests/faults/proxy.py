"""A reverse proxy that breaks what passes: some requests, once or always."""

from __future__ import annotations

import http.client
import os
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive", "expect"})
_ANSWERS = {"500": 500, "429": 429}
_REQUESTS = frozenset({*_ANSWERS, "reset", "mute"})  # the server never hears of the request


@dataclass
class Rule:
    """What is broken, and how.

    Attributes:
        fault: `500`; `429` with Retry-After; `reset`: the connection, after half of the request's
            body; `mute`: no answer ever; `lost`: the server hears the request, and the answer is
            reset; and of answers: `cut`: half of the body; `stall`: half of it, then silence;
            `flip`: one byte; `range`: a wrong Content-Range; `other`: other bytes; `longer`: of
            another file, with its size. `spoil`: one byte of the request's body.
        method: a pattern.
        path: a pattern, found anywhere in the path and query.
        least: bytes that the request's body must have.
        times: how often; None for always.
        hits: how often so far.
    """

    fault: str
    method: str = "GET"
    path: str = ""
    least: int = 0
    times: int | None = None
    hits: int = 0

    def takes(self, method: str, path: str, length: int) -> bool:
        """Whether a request is broken."""
        return (
            (self.times is None or self.hits < self.times)
            and re.fullmatch(self.method, method) is not None
            and re.search(self.path, path) is not None
            and length >= self.least
        )


class Proxy:
    """A running proxy.

    Attributes:
        url: its address.
        rule: in force.
    """

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self.host, self.port = str(parts.hostname), int(parts.port or 80)
        self.url = ""
        self.rule: Rule | None = None
        self.lock = threading.Lock()
        self.ending = threading.Event()  # lets go of connections that are held in silence

    def breaks(self, method: str, path: str, length: int) -> str:
        """The fault for a request; empty for none."""
        with self.lock:
            rule = self.rule
            if rule is None or not rule.takes(method, path, length):
                return ""
            rule.hits += 1
            return rule.fault

    @contextmanager
    def breaking(self, rule: Rule) -> Iterator[Rule]:
        """A rule in force until the block ends."""
        self.rule, self.ending = rule, threading.Event()
        try:
            yield rule
        finally:
            self.rule = None
            self.ending.set()


@contextmanager
def proxy(upstream: str) -> Iterator[Proxy]:
    """Stand before a server until the block ends."""
    state = Proxy(upstream)

    class Handler(_Handler):
        proxy = state

    server = _Server(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state
    finally:
        state.ending.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that are killed, and connections that are broken on purpose


class _Handler(BaseHTTPRequestHandler):
    proxy: Proxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        fault = self.proxy.breaks(self.command, self.path, length)
        body = self.rfile.read(length // 2 if fault == "reset" else length)
        if fault in _ANSWERS:
            retry = {"Retry-After": "1"} if fault == "429" else {}
            self._send(_ANSWERS[fault], [*retry.items()], b"broken on purpose")
        elif fault == "reset":
            self._reset()
        elif fault == "mute":
            self._hold()
        elif fault == "spoil":
            self._forward("", _flipped(body))
        else:
            self._forward(fault, body)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_GET

    def _forward(self, fault: str, body: bytes) -> None:
        upstream = http.client.HTTPConnection(self.proxy.host, self.proxy.port, timeout=60)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for key, value in self.headers.items():
                if key.lower() not in _HOP:
                    upstream.putheader(key, value)
            upstream.putheader("Connection", "close")
            if body or self.command in ("POST", "PUT"):
                upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body or None)
            answer = upstream.getresponse()
            content = answer.read()
            length = answer.headers.get("Content-Length") if self.command == "HEAD" else None
            headers = [(k, v) for k, v in answer.getheaders() if k.lower() not in _HOP]
        finally:
            upstream.close()
        if fault == "lost":
            self._reset()
        elif fault in ("cut", "stall"):
            self._send(answer.status, headers, content[: len(content) // 2], len(content))
            self.close_connection = True
            if fault == "stall":
                self._hold()
        else:
            headers, content = _spoilt(fault, headers, content)
            self._send(answer.status, headers, content, int(length) if length else None)

    def _send(
        self,
        status: int,
        headers: list[tuple[str, str]],
        content: bytes,
        length: int | None = None,
    ) -> None:
        self.send_response_only(status)
        for key, value in headers:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()

    def _hold(self) -> None:
        """Keep the connection open and silent."""
        self.close_connection = True
        self.proxy.ending.wait(60)

    def _reset(self) -> None:
        """End the connection with RST, not with FIN."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())


def _spoilt(
    fault: str, headers: list[tuple[str, str]], content: bytes
) -> tuple[list[tuple[str, str]], bytes]:
    if fault == "flip" and content:
        return headers, _flipped(content)
    if fault == "other":
        return headers, bytes(byte ^ 0x5A for byte in content)
    if fault == "range":
        return _ranged(headers, 1, 0), content
    if fault == "longer":
        return _ranged(headers, 0, 10), content
    return headers, content


def _flipped(content: bytes) -> bytes:
    spoilt = bytearray(content)
    if spoilt:
        spoilt[len(spoilt) // 2] ^= 1
    return bytes(spoilt)


def _ranged(headers: list[tuple[str, str]], shift: int, more: int) -> list[tuple[str, str]]:
    """Headers with another Content-Range."""

    def change(value: str) -> str:
        begin, end, size = map(int, re.findall(r"\d+", value))
        return f"bytes {begin + shift}-{end + shift}/{size + more}"

    return [(k, change(v) if k.lower() == "content-range" else v) for k, v in headers]
