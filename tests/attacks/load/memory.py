"""Commits with contents inside of them, and uploads that break off: nothing of them may stay."""

from __future__ import annotations

import json
import os
import random
import socket
import struct
import time

from tests.attacks.load.client import Finding, client
from tests.watched_hub import MIB, WatchedHub

PART = 4 * MIB  # bytes; the hub's option, so that uploads also come in parts
GROWTH = 50  # MiB
_DISTINCT = 4  # contents; more would only fill the disk
NAME = "load/m"


def commits(watched: WatchedHub, count: int, size: int) -> Finding:
    """Commit so many times a content of so many bytes; each eighth for a parent that is stale.

    Every other commit has the content of the one before it under another name.
    """
    contents = [os.urandom(size) for _ in range(_DISTINCT)]
    with client(watched) as asked:
        asked.create(NAME)

        def one(number: int) -> None:
            stale = "0" * 40 if number % 8 == 7 else ""
            # Eight names, of which each gets another content than it has.
            content = contents[(number // 2 + number // 8) % _DISTINCT]
            status, said = asked.commit(NAME, {f"file-{number % 8}.txt": content}, stale)
            assert status == (412 if stale else 200), f"{status} {said[:500]!r}"

        for number in range(9):
            one(number)
        before, began, seen = settled(watched), time.monotonic(), []
        for number in range(9, 9 + count):
            one(number)
            seen.append(watched.memory)
    found = _finding(f"{count} commits of {size / MIB:.0f} MiB", watched, before, max(seen), began)
    # What grows to the end is a leak; what grows at the beginning is a cache or an allocator's.
    ways = ", ".join(f"{seen[count * n // 4 - 1] - before:+.0f}" for n in range(1, 5))
    return Finding(found.what, f"{found.figures}; after each quarter {ways}", found.problems)


def cuts(watched: WatchedHub, count: int, size: int, seed: int = 1) -> Finding:
    """Break off so many uploads: whole ones, parts, chunked ones; by an end or by a reset."""
    chance = random.Random(seed)
    with client(watched) as asked:
        asked.create("load/cuts")
        whole = asked.offered("load/cuts", os.urandom(PART - 1))[0]
        part = asked.offered("load/cuts", os.urandom(2 * PART))[1]
        before, began, most = 0.0, time.monotonic(), 0.0
        descriptors = watched.descriptors
        for number in range(12 + count):
            if number == 12:  # each kind was there once
                before, began = settled(watched), time.monotonic()
            address = (whole, part, whole)[number % 3]
            _cut(watched, address, chunked=number % 3 == 2, reset=number % 2 == 1,
                 sent=chance.randrange(min(size, PART)))  # fmt: skip
            most = max(most, watched.memory)
        found = _finding(f"{count} uploads cut short", watched, before, most, began)
        asked.must("GET", "/api/whoami-v2")
    left = watched.settled(descriptors + 5)
    more = (f"{left} descriptors, {descriptors} before",) if left > descriptors + 5 else ()
    return Finding(found.what, found.figures, found.problems + more)


def refused(watched: WatchedHub, count: int, size: int) -> Finding:
    """Send so many whole bodies that are refused: other bytes than announced, and malformed."""
    with client(watched) as asked:
        asked.create("load/refused")
        address = asked.offered("load/refused", os.urandom(size))[0]
        line = json.dumps({"key": "file", "value": {"path": "../x", "content": "a" * size}})
        before, began, most = 0.0, time.monotonic(), 0.0
        for number in range(9 + count):
            if number == 9:
                before, began = settled(watched), time.monotonic()
            if number % 3 == 0:
                status, _ = asked.ask("PUT", address, bytes(size), "application/octet-stream")
            elif number % 3 == 1:
                path = "/api/models/load/refused/commit/main"
                status, _ = asked.ask("POST", path, line.encode(), "application/x-ndjson")
            else:
                path = "/api/v1/repos/models/load/refused/commit/master"
                status, _ = asked.ask("POST", path, line.encode()[:-1])
            assert status in (400, 413), status
            most = max(most, watched.memory)
    what = f"{count} bodies of {size / MIB:.0f} MiB refused"
    return _finding(what, watched, before, most, began)


def settled(watched: WatchedHub, seconds: float = 10) -> float:
    """The memory of a hub when it does not fall any more, or a time is over, in MiB."""
    until, found = time.monotonic() + seconds, watched.memory
    while time.monotonic() < until:
        time.sleep(0.5)
        now = watched.memory
        if now > found - 1:
            return min(now, found)
        found = now
    return found


def _cut(watched: WatchedHub, address: str, *, chunked: bool, reset: bool, sent: int) -> None:
    """Begin an upload, send so many bytes of it, and go away."""
    with socket.create_connection(watched.address, timeout=60) as peer:
        body = b"z" * sent
        length = PART if "/2?" in address else PART - 1
        kind = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {length}"
        head = f"PUT {address} HTTP/1.1\r\nHost: hub\r\n{kind}\r\n\r\n".encode()
        if chunked:
            head += b"%x\r\n" % (sent + 1000)
        peer.sendall(head + body)
        if reset:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _finding(what: str, watched: WatchedHub, before: float, most: float, began: float) -> Finding:
    seconds = time.monotonic() - began
    after = settled(watched)
    grown = f"{before:.0f} MiB, then {after - before:+.0f}; {most - before:+.0f} at most"
    problems = []
    if after - before > GROWTH:
        problems.append(f"memory grew by {after - before:.0f} MiB")
    if not watched.is_healthy():
        problems.append("/health is not answered")
    return Finding(what, f"{grown}; {seconds:.0f} s", tuple(problems))
