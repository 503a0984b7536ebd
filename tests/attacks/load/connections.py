"""Connections that say nothing or never end, bodies and headers without end; others go on."""

from __future__ import annotations

import json
import os
import resource
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPException

from tests.attacks.load.client import Finding, client, part_of, timed, watching
from tests.attacks.load.memory import settled
from tests.watched_hub import MIB, WatchedHub

NAME = "load/open"
_SOURCES = 10  # addresses of this machine that connections come from; hubs may count by address
_HALVES = (
    b"GET /api/whoami-v2 HTTP/1.1\r\nHost: hub\r\nX-A: ",
    b"GET /api/whoami",
    b"POST /api/v1/login HTTP/1.1\r\nHost: hub\r\nContent-Length: 1000000\r\n\r\n{",
    b"POST /api/repos/create HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
    b"POST /api/models/load/open/commit/main HTTP/1.1\r\nHost: hub\r\nContent-Length: 9000\r\n\r\n",
)


def allow_files(count: int) -> None:
    """Let this process and its children have so many open files, as far as that is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        most = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@contextmanager
def crowd(watched: WatchedHub, idle: int, half: int) -> Iterator[list[socket.socket]]:
    """Connections without a token that say nothing, and others that never finish a request."""
    with ExitStack() as stack:
        found = []
        for number in range(idle + half):
            source = (f"127.0.0.{2 + number % _SOURCES}", 0)
            peer = socket.create_connection(watched.address, 60, source_address=source)
            found.append(stack.enter_context(peer))
            if number >= idle:
                peer.sendall(_HALVES[number % len(_HALVES)])
        yield found


def ended(peers: list[socket.socket]) -> int:
    """How many of these the other side has closed."""
    poll = select.poll()
    by_number = {peer.fileno(): peer for peer in peers}
    for number in by_number:
        poll.register(number, select.POLLIN)
    count = 0
    for number, _ in poll.poll(0):
        try:
            while by_number[number].recv(65536, socket.MSG_DONTWAIT):
                pass  # a refusal comes before the end
            count += 1
        except BlockingIOError:
            pass
        except OSError:
            count += 1
    return count


def questions(watched: WatchedHub) -> Iterator[tuple[str, Callable[[], object]]]:
    """What others ask meanwhile; each has to be granted."""
    with client(watched) as asked:
        yield "whoami", lambda: asked.must("GET", "/api/whoami-v2")
        yield "tree", lambda: asked.must("GET", f"/api/models/{NAME}/tree/main?recursive=true")
        yield "HEAD", lambda: asked.must("HEAD", f"/{NAME}/resolve/main/config.json")

        def upload() -> None:
            content = os.urandom(20_000)
            address = asked.offered(NAME, content)[0]
            asked.must("PUT", address, content, "application/octet-stream")

        yield "upload", upload


def prepare(watched: WatchedHub) -> None:
    """Make the repository that others ask for."""
    with client(watched) as asked:
        asked.create(NAME)
        files = {f"folder/{number}.txt": b"x" for number in range(20)} | {"config.json": b"{}"}
        status, said = asked.commit(NAME, files)
        assert status == 200, said


def silent(
    watched: WatchedHub, idle: int, half: int, *, count: int = 200, patience: float = 120
) -> Finding:
    """Hold connections open, and ask meanwhile; wait until the hub has closed the silent ones."""
    quiet = {name: timed(ask, count) for name, ask in questions(watched)}
    before, descriptors = settled(watched), watched.descriptors
    problems = []
    with crowd(watched, idle, half) as peers:
        began = time.monotonic()
        meanwhile = {name: timed(ask, count) for name, ask in questions(watched)}
        held = watched.memory - before
        until = began + patience
        while (over := ended(peers)) < len(peers) and time.monotonic() < until:
            time.sleep(0.25)
        seconds = time.monotonic() - began
    if over < len(peers):
        problems.append(f"{len(peers) - over} of them are open after {seconds:.0f} s")
    if held > 50:
        problems.append(f"they hold {held:.0f} MiB")
    left = watched.settled(descriptors + 5)
    if left > descriptors + 5:
        problems.append(f"{left} descriptors, {descriptors} before")
    rows = []
    for name, alone in quiet.items():
        now = part_of(meanwhile[name], 0.95)
        rows.append(f"{name} p95 {now:.1f} ms ({part_of(alone, 0.95):.1f} alone)")
    times = "; ".join(rows)
    return Finding(
        f"{idle} silent connections, {half} half requests",
        f"{held:+.0f} MiB; {over} of {len(peers)} closed after {seconds:.0f} s; {times}",
        tuple(problems),
    )


def large_body(watched: WatchedHub, path: str, size: int, token: str = "") -> Finding:
    """Send one JSON body to a route without a token."""
    rows = b'{"a":[' + b"[0]," * (size // 4) + b"0]}"
    before = settled(watched)
    with watching(watched) as peak, client(watched, token) as asked:
        try:
            said = f"{asked.ask('POST', path, rows)[0]}"
        except OSError as error:  # it is refused before it is read
            said = type(error).__name__
        time.sleep(0.2)
    grown = peak.memory - before
    problems = [f"memory rose by {grown:.0f} MiB"] if grown > 20 else []
    if said == "200" or said.startswith("5"):
        problems.append(f"it was answered {said}")
    return Finding(
        f"{len(rows) / MIB:.0f} MiB of JSON to {path} without a token",
        f"{said}; {grown:+.0f} MiB at most; /health within {peak.wait * 1000:.0f} ms",
        tuple(problems),
    )


def large_headers(watched: WatchedHub, size: int) -> Finding:
    """Send headers of so many bytes, as one and as many."""
    problems, figures = [], []
    before = settled(watched)
    for name, piece in (("one", b"a" * 65536), ("many", b"X-A: " + b"b" * 1017 + b"\r\n")):
        with watching(watched) as peak, socket.create_connection(watched.address, 60) as peer:
            sent, said = 0, b""
            try:
                peer.sendall(b"GET /health HTTP/1.1\r\nHost: hub\r\nX-B: ")
                while sent < size:
                    sent += peer.send(piece * (65536 // len(piece)))
                peer.sendall(b"\r\n\r\n")
                said = peer.recv(65536)
            except OSError:  # closed by the hub
                pass
        grown = peak.memory - before
        if said.startswith(b"HTTP/1.1 200") or sent >= size:
            problems.append(f"{name}: {sent / MIB:.0f} MiB were taken")
        if grown > 20:
            problems.append(f"{name}: memory rose by {grown:.0f} MiB")
        figures.append(f"{name}: {sent / MIB:.1f} MiB sent, {said[:12]!r}, {grown:+.0f} MiB")
    return Finding(f"{size / MIB:.0f} MiB of headers", "; ".join(figures), tuple(problems))


def many_paths(watched: WatchedHub, files: int, paths: int, at_once: int) -> Finding:
    """Ask for many paths of a large repository, several at once; others are answered meanwhile."""
    with client(watched) as asked:
        asked.create("load/paths")
        status, said = asked.commit("load/paths", {f"d{n % 50}/{n}": b"x" for n in range(files)})
        assert status == 200, said
        body = json.dumps({"paths": [f"missing/{number}" for number in range(paths)]}).encode()
        statuses: list[int] = []

        def ask() -> None:
            path = "/api/models/load/paths/paths-info/main"
            try:
                with client(watched) as one:
                    statuses.append(one.ask("POST", path, body)[0])
            except (OSError, HTTPException):  # nothing came in two minutes
                statuses.append(0)

        began = time.monotonic()
        with watching(watched) as peak:
            threads = [threading.Thread(target=ask) for _ in range(at_once)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        seconds = time.monotonic() - began
    problems = [] if set(statuses) <= {200, 400, 413} else [f"they were answered {statuses}"]
    if peak.wait > 2:
        problems.append(f"/health took {peak.wait:.1f} s meanwhile")
    return Finding(
        f"{at_once} × paths-info of {paths} paths in {files} files",
        f"{sorted(set(statuses))} in {seconds:.1f} s; /health within {peak.wait * 1000:.0f} ms",
        tuple(problems),
    )
