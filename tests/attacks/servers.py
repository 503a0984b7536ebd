"""Servers of an attacker, on 127.0.0.1: they answer what they like, or nothing at all."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Handle = Callable[["Asked"], None]


@dataclass
class Asked:
    """A request, and what it is answered with.

    Attributes:
        url: of the server.
        method, path, headers, body: of the request; names of headers in small letters.
    """

    url: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    handler: BaseHTTPRequestHandler = field(repr=False)

    def answer(self, content: bytes | Any = b"", status: int = 200, **headers: str) -> None:
        """Answer with bytes, or with a document of JSON; `_` in names of headers is `-`."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.handler.send_header(name.replace("_", "-"), value)
        self.handler.end_headers()
        self.handler.wfile.write(body)

    def answer_without_end(self, piece: bytes, **headers: str) -> None:
        """Send a piece over and over, until whoever asked has gone."""
        self.handler.send_response(200)
        for name, value in headers.items():
            self.handler.send_header(name.replace("_", "-"), value)
        self.handler.send_header("Connection", "close")
        self.handler.end_headers()
        with suppress(OSError):
            while True:
                self.handler.wfile.write(piece)


@dataclass
class Server:
    """A running server and what it was asked."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)

    def saw(self, secret: str) -> bool:
        """Whether a request held a text in its headers, path or body."""
        return any(
            secret in text
            for one in self.asked
            for text in (one.path, *one.headers.values(), one.body.decode("latin-1"))
        )


@contextmanager
def serving(handle: Handle) -> Iterator[Server]:
    """Serve until the block ends; each request goes to `handle`."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def _take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(server.url, self.command, self.path, headers, body, self)
            server.asked.append(asked)
            with suppress(ConnectionError):
                handle(asked)

        do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _take

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


@contextmanager
def silent() -> Iterator[str]:
    """The URL of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def not_found(asked: Asked) -> None:
    """A sound hub that has nothing."""
    asked.answer({"Code": 404, "error": "not found"}, 404)
