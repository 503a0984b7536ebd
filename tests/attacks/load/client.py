"""Asking a watched hub; its memory meanwhile, and how long answers take."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.watched_hub import WatchedHub


@dataclass(frozen=True)
class Finding:
    """One thing that was tried.

    Attributes:
        what: was tried.
        figures: what was measured, for people.
        problems: what did not hold; none if all is well.
    """

    what: str
    figures: str
    problems: tuple[str, ...] = ()


class Client:
    """Asks over one connection.

    Args:
        watched: the hub.
        token: that is sent; empty for none.
    """

    def __init__(self, watched: WatchedHub, token: str) -> None:
        self._connection = http.client.HTTPConnection(*watched.address, timeout=120)
        self._token = token

    def ask(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/json"
    ) -> tuple[int, bytes]:
        """The status and the body of an answer; raises OSError, HTTPException."""
        headers = {"Content-Type": kind}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise

    def must(
        self, method: str, path: str, value: Any = None, kind: str = "application/json"
    ) -> Any:
        """What is answered to a request that has to be granted, read as JSON."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        status, said = self.ask(method, path, None if value is None else body, kind)
        assert status == 200, f"{method} {path[:200]}: {status} {said[:500]!r}"
        return json.loads(said) if said[:1] in (b"{", b"[") else said

    def create(self, name: str, *, private: bool = False) -> None:
        """Make a repository ORG/NAME."""
        org, _, rest = name.partition("/")
        row = {"organization": org, "name": rest, "private": private}
        self.must("POST", "/api/repos/create", row)

    def commit(self, name: str, files: Mapping[str, bytes], parent: str = "") -> tuple[int, bytes]:
        """Commit files whose contents are in the request."""
        lines = [json.dumps({"key": "header", "value": {"summary": "x", "parentCommit": parent}})]
        for path, content in files.items():
            value = {
                "path": path,
                "encoding": "base64",
                "content": base64.b64encode(content).decode(),
            }
            lines.append(json.dumps({"key": "file", "value": value}))
        body = "\n".join(lines).encode()
        return self.ask("POST", f"/api/models/{name}/commit/main", body, "application/x-ndjson")

    def offered(self, name: str, content: bytes) -> list[str]:
        """The addresses, path and query, to which a content is to be sent: one, or its parts'."""
        row = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content)}
        said = self.must("POST", f"/{name}.git/info/lfs/objects/batch", {"objects": [row]})
        upload = said["objects"][0]["actions"]["upload"]
        parts = [upload["header"][key] for key in sorted(upload["header"]) if key.isdigit()]
        links = [urlsplit(href) for href in parts or [upload["href"]]]
        return [f"{link.path}?{link.query}" for link in links]

    def close(self) -> None:
        self._connection.close()


@contextmanager
def client(watched: WatchedHub, token: str | None = None) -> Iterator[Client]:
    """A client with the right to write, or with another token."""
    with closing(Client(watched, watched.hub.writer if token is None else token)) as one:
        yield one


@dataclass
class Peak:
    """The most memory that was seen, in MiB, and the longest wait for /health, in seconds."""

    memory: float = 0
    wait: float = 0
    asked: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)


@contextmanager
def watching(watched: WatchedHub) -> Iterator[Peak]:
    """Look at a hub's memory, and ask for its health, as often as it goes until the block ends."""
    peak = Peak(memory=watched.memory)

    def look() -> None:
        while not peak._stop.wait(0.005):
            peak.memory = max(peak.memory, watched.memory)

    def ask() -> None:
        while not peak._stop.wait(0.01):
            began = time.monotonic()
            if not watched.is_healthy(120):
                peak.wait = float("inf")
            peak.wait, peak.asked = max(peak.wait, time.monotonic() - began), peak.asked + 1

    threads = [threading.Thread(target=work) for work in (look, ask)]
    for thread in threads:
        thread.start()
    try:
        yield peak
    finally:
        peak._stop.set()
        for thread in threads:
            thread.join()


def timed(ask: Callable[[], object], count: int) -> list[float]:
    """Milliseconds that each of so many questions took, sorted."""
    found = []
    for _ in range(count):
        began = time.perf_counter()
        ask()
        found.append((time.perf_counter() - began) * 1000)
    return sorted(found)


def part_of(times: Sequence[float], share: float) -> float:
    """The time below which a share of sorted times lies."""
    return times[min(len(times) - 1, int(len(times) * share))]
