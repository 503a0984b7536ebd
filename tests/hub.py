"""A Hugging Face hub on this machine, as far as reading goes: it counts what it is asked for.

It speaks the part of the Hub's HTTP API that huggingface_hub and hf-mem use to list and to read.
Sparse twins cannot be hashed, so the sha256 of large files is made up; that of small ones is not
told, as on the Hub.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LFS_ABOVE = 10 * 2**20  # bytes
COMMIT = "c0ffee" * 6 + "c0ff"


@dataclass
class Hub:
    """A running server.

    Attributes:
        url: for HF_ENDPOINT.
        requests: how often each path below a repository was read.
        sent: bytes of bodies.
        behaviour: what goes wrong: `ignore-range`, `wrong-range`, `cut`, or a status such as `403`.
    """

    root: Path
    url: str = ""
    requests: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    behaviour: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def hub(root: Path) -> Iterator[Hub]:
    """Serve `root/ORG/NAME` as repositories until the block ends."""
    state = Hub(root)

    class Handler(_Handler):
        hub = state

    server = _Server(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # with the default of 5, clients wait a second to connect again


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        listing = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path)
        if self.hub.behaviour.isdigit():
            self._error(int(self.hub.behaviour))
        elif listing:
            self._list(listing.group(1), listing.group(2), listing.group(3))
        elif file:
            self._read(file.group(1), file.group(2))
        else:
            self._error(404)

    def _list(self, name: str, kind: str | None, revision: str | None) -> None:
        folder = self.hub.root / name
        if not folder.is_dir():
            self._error(404, "RepoNotFound")
            return
        if revision not in (None, "main", "v1", COMMIT):
            self._error(404, "RevisionNotFound")
            return
        self._count("listing")
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        rows = [self._row(path, path.relative_to(folder).as_posix()) for path in files]
        if kind == "tree":
            body: Any = [
                {"type": "file", "path": row["rfilename"], "oid": "0" * 40, **_without_name(row)}
                for row in rows
            ]
        else:
            body = {"id": name, "sha": COMMIT, "siblings": rows, "private": False, "tags": []}
        self._send(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _row(self, path: Path, name: str) -> dict[str, Any]:
        size = path.stat().st_size
        row: dict[str, Any] = {"rfilename": name, "size": size, "blobId": "0" * 40}
        if size > LFS_ABOVE:
            sha256 = hashlib.sha256(f"{name} {size}".encode()).hexdigest()
            row["lfs"] = {"sha256": sha256, "oid": sha256, "size": size, "pointerSize": 134}
        return row

    def _read(self, name: str, path: str) -> None:
        file = self.hub.root / name / path
        if not file.is_file():
            self._error(404, "EntryNotFound")
            return
        self._count(path)
        size = file.stat().st_size
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        begin, end = (int(wanted.group(1)), int(wanted.group(2) or size)) if wanted else (0, size)
        end = min(end, size - 1)
        status = 206 if wanted else 200
        if self.hub.behaviour == "ignore-range":
            begin, end, status = 0, size - 1, 200
        elif self.hub.behaviour == "wrong-range":
            begin, end = begin + 1, min(end + 1, size - 1)
        with file.open("rb") as reader:
            reader.seek(begin)
            content = reader.read(max(0, end - begin + 1))
        headers = {"ETag": '"x"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if status == 206:
            headers["Content-Range"] = f"bytes {begin}-{end}/{size}"
        self._send(status, content, headers, cut=self.hub.behaviour == "cut")

    def _send(
        self, status: int, content: bytes, headers: dict[str, str], *, cut: bool = False
    ) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)
            with self.hub.lock:
                self.hub.sent += len(content)
        if cut:
            self.close_connection = True

    def _error(self, status: int, code: str = "") -> None:
        self._count("error")
        self._send(status, b"{}", {"X-Error-Code": code} if code else {})

    def _count(self, what: str) -> None:
        with self.hub.lock:
            self.hub.requests[what] += 1


def _without_name(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in ("rfilename", "blobId")}
