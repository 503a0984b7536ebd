"""The project's own hub, watched from outside: its memory, threads, descriptors, and its log."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.own_hub import OwnHub, own_hub

MIB = 2**20


@dataclass
class WatchedHub:
    """A running hub whose process is watched.

    Attributes:
        hub: it.
        log: what its process writes to stderr.
        process: it, for the figures below.
    """

    hub: OwnHub
    log: Path
    process: psutil.Process
    _read: int = 0

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.hub.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    @property
    def memory(self) -> float:
        """MiB that its process holds: resident, without what it shares with others."""
        rss: int = self.process.memory_info().rss
        return rss / MIB

    @property
    def threads(self) -> int:
        return int(self.process.num_threads())

    @property
    def descriptors(self) -> int:
        return int(self.process.num_fds())

    def new_log(self) -> str:
        """What was logged since the last call."""
        with self.log.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        self._read += len(text)
        return text.decode(errors="replace")

    def is_healthy(self, seconds: float = 10) -> bool:
        """Whether a health question on a connection of its own is answered within a time."""
        try:
            with closing(http.client.HTTPConnection(*self.address, timeout=seconds)) as connection:
                connection.request("GET", "/health")
                return connection.getresponse().read() == b"ok\n"
        except (OSError, http.client.HTTPException):
            return False

    def settled(self, most: int, seconds: float = 15) -> int:
        """Wait until it has no more than so many descriptors, or a time is over; their number."""
        until = time.monotonic() + seconds
        while (found := self.descriptors) > most and time.monotonic() < until:
            time.sleep(0.1)
        return found


@contextmanager
def watched_hub(folder: Path, *options: str) -> Iterator[WatchedHub]:
    """Serve a registry in `folder/registry` until the block ends, its log in `folder/log`."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log"
    with log.open("wb") as file, own_hub(folder / "registry", *options, log=file) as hub:
        yield WatchedHub(hub, log, psutil.Process(hub.process.pid))


def faults(log: str) -> list[str]:
    """The exceptions in a log, each with the innermost line of ours that it passed.

    Args:
        log: text with tracebacks among other lines.
    """
    found = []
    for text in log.split("Traceback (most recent call last):\n")[1:]:
        error, place = "", ""
        for line in text.splitlines():
            if match := re.match(r'\s+(?:\| )?\s*File ".*/(registry/[^"]+)", line (\d+)', line):
                place = f"{match[1]}:{match[2]}"
            elif re.match(r"[A-Za-z_][\w.]*(?:: |$)", line):
                error = line.partition(":")[0]
                break
        found.append(f"{error} at {place or '?'}")
    return found
