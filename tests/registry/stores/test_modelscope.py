"""The store on ModelScope, where its library would go its own ways."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.conftest import Run


@pytest.fixture
def busy() -> Iterator[tuple[str, list[str]]]:
    """A server that is busy for ever, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("command", "most"),
    # The library cannot be told to try once; what it is not needed for is tried as asked.
    [(("list", "org/m", "--from", "ms://"), 4), (("inspect", "ms://org/m"), 2)],
)
def test_tries_are_not_multiplied(
    qreg: Run, busy: tuple[str, list[str]], command: tuple[str, ...], most: int
) -> None:
    url, asked = busy
    env = {"MODELSCOPE_ENDPOINT": url, "MODELSCOPE_API_TOKEN": "t", "QREG_ATTEMPTS": "2"}
    found = qreg(*command, "--json", env=env)
    assert found.code == 7 and "try again" in found.error["remedy"]
    assert 2 <= len(asked) <= most
