"""python -m tests.attacks.load: much, cut short, silent; what held, with figures; else 1."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.attacks.load import connections, memory
from tests.attacks.load.client import Finding
from tests.attacks.load.scale import scale
from tests.watched_hub import MIB, WatchedHub, faults, watched_hub

Kind = Callable[[WatchedHub, argparse.Namespace], Iterator[Finding]]


def keeping(watched: WatchedHub, asked: argparse.Namespace) -> Iterator[Finding]:
    """What commits and uploads leave behind."""
    yield memory.commits(watched, asked.commits, asked.size * MIB)
    yield memory.cuts(watched, asked.cuts, asked.size * MIB)
    yield memory.refused(watched, asked.cuts // 10, 4 * MIB)


def waiting(watched: WatchedHub, asked: argparse.Namespace) -> Iterator[Finding]:
    """Connections, bodies and headers of strangers."""
    connections.prepare(watched)
    yield connections.silent(watched, asked.idle, asked.half)
    asking = f"/api/models/{connections.NAME}/paths-info/main"
    for path in ("/api/v1/login", "/api/repos/create", asking):
        yield connections.large_body(watched, path, 15 * MIB)
    yield connections.large_headers(watched, 60 * MIB)
    yield connections.many_paths(watched, 5000, 10_000, 8)


def growing(watched: WatchedHub, asked: argparse.Namespace) -> Iterator[Finding]:
    """A repository with many files."""
    yield scale(watched, asked.files)


KINDS: dict[str, Kind] = {"memory": keeping, "connections": waiting, "scale": growing}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.load", description=__doc__)
    parser.add_argument("--commits", type=int, default=1000)
    parser.add_argument("--cuts", type=int, default=1000, help="uploads that break off")
    parser.add_argument("--size", type=int, default=10, help="MiB of a commit's content")
    parser.add_argument("--idle", type=int, default=1000, help="connections that say nothing")
    parser.add_argument("--half", type=int, default=100, help="connections with half a request")
    parser.add_argument("--files", type=int, default=12_000, help="of the large repository")
    parser.add_argument("--only", choices=KINDS, help="one kind")
    asked = parser.parse_args()
    connections.allow_files(asked.idle + asked.half + 500)
    bad = 0
    for kind, function in KINDS.items():
        if asked.only in (None, kind):
            bad += judged(function, asked)
    print("all held" if not bad else f"{bad} did not hold")
    return 1 if bad else 0


def judged(function: Kind, asked: argparse.Namespace) -> int:
    """Try one kind on a hub of its own and print what was found; how much did not hold."""
    bad = 0
    options = ("--part-size", str(memory.PART))
    with (
        tempfile.TemporaryDirectory(prefix="load-") as folder,
        watched_hub(Path(folder), *options) as watched,
    ):
        for finding in function(watched, asked):
            bad += bool(finding.problems)
            print(f"{finding.what}\n    {finding.figures}", flush=True)
            for problem in finding.problems:
                print(f"    NOT HELD: {problem}", flush=True)
        for fault in faults(watched.new_log()):
            bad += 1
            print(f"    NOT HELD: the hub logged {fault}", flush=True)
    return bad


if __name__ == "__main__":
    sys.exit(main())
