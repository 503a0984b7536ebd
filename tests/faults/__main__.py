"""python -m tests.faults: kill, break, fill, cut the power; 1 if anything did not hold."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tests.faults.changing import changing_sources
from tests.faults.checks import Outcome
from tests.faults.copying import kill_copiers
from tests.faults.crowds import pullers_and_a_cleaner, two_publishers
from tests.faults.disk import full_hub, limited_files, small_disk
from tests.faults.hostile import hostile_listings
from tests.faults.hostile_stores import hostile_manifests
from tests.faults.kills import kill_publishers, kill_pullers
from tests.faults.places import PLACES
from tests.faults.power.cuts import PLACES as POWERED
from tests.faults.power.cuts import power_cuts
from tests.faults.wire import PULLING, broken_publications, broken_pulls

Kind = Callable[[str, Path, argparse.Namespace], Iterator[Outcome]]


def kills(name: str, folder: Path, asked: argparse.Namespace) -> Iterator[Outcome]:
    """SIGKILL of publishers and pullers."""
    with PLACES[name](folder) as place:
        yield from kill_publishers(place, folder / "publishers", asked.kills, asked.seed)
        yield from kill_pullers(place, folder / "pullers", asked.kills, asked.seed)


def copies(name: str, folder: Path, asked: argparse.Namespace) -> Iterator[Outcome]:
    """SIGKILL of copies between stores."""
    with PLACES[name](folder) as place:
        yield from kill_copiers(place, folder / "copies", max(1, asked.kills // 5), asked.seed)


def wires(name: str, folder: Path, asked: argparse.Namespace) -> Iterator[Outcome]:
    """Servers and networks that fail."""
    if name in PULLING:
        with PLACES[name](folder) as place:
            yield from broken_pulls(place, folder / "pulls")
            yield from broken_publications(place, folder / "publications")


def disks(name: str, folder: Path, asked: argparse.Namespace) -> Iterator[Outcome]:
    """Full disks."""
    with PLACES[name](folder) as place:
        yield from limited_files(place, folder / "limited")
        yield from small_disk(place, folder / "small")
    if name in ("hf", "ms"):
        yield from full_hub(name, folder / "full")


def changes(name: str, folder: Path, asked: argparse.Namespace) -> Iterator[Outcome]:
    """Sources that change while they are published."""
    with PLACES[name](folder) as place:
        yield from changing_sources(place, folder / "sources")


def crowds(name: str, folder: Path, asked: argparse.Namespace) -> Iterator[Outcome]:
    """Many at once."""
    with PLACES[name](folder) as place:
        if name != "file":
            yield from pullers_and_a_cleaner(place, folder / "pullers", asked.rounds)
        yield from two_publishers(place, folder / "publishers", asked.rounds)


def listings(name: str, folder: Path, asked: argparse.Namespace) -> Iterator[Outcome]:
    """Hostile listings."""
    if name in ("hf", "ms"):
        yield from hostile_listings(name, folder)
    elif name != "hub-on-s3":  # what our own hub lists was checked when it came in
        with PLACES[name](folder) as place:
            yield from hostile_manifests(place, folder / "manifests")


def power(name: str, folder: Path, asked: argparse.Namespace) -> Iterator[Outcome]:
    """Power loss, on loop devices."""
    if name in POWERED:
        yield from power_cuts(name, folder, asked.cuts, asked.seed)


KINDS: dict[str, Kind] = {
    "kills": kills,
    "copies": copies,
    "wires": wires,
    "disks": disks,
    "changes": changes,
    "crowds": crowds,
    "listings": listings,
    "power": power,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=25, help="for each store and command")
    parser.add_argument(
        "--cuts", type=int, default=20, help="of the power, for each answer; as root (loop devices)"
    )
    parser.add_argument("--rounds", type=int, default=10, help="of many at once, for each store")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=KINDS, help="one kind of fault")
    parser.add_argument("--place", choices=PLACES, action="append", help="one store")
    asked = parser.parse_args()
    places = asked.place or list(PLACES)
    bad = 0
    for kind, function in KINDS.items():
        if asked.only in (None, kind):
            for name in places:
                with tempfile.TemporaryDirectory(prefix="faults-") as folder:
                    bad += report(function(name, Path(folder), asked))
    print("all held" if not bad else f"{bad} did not hold")
    return 1 if bad else 0


def report(outcomes: Iterable[Outcome]) -> int:
    """Print what did not hold, and a line for each kind; return how many did not."""
    began = time.monotonic()
    tried: Counter[tuple[str, str]] = Counter()
    bad: Counter[tuple[str, str]] = Counter()
    for outcome in outcomes:
        key = (outcome.kind, outcome.place)
        tried[key] += 1
        if outcome.problems:
            bad[key] += 1
            print(f"  {outcome.kind} {outcome.place}: {outcome.what}")
            for problem in outcome.problems:
                print(f"      {problem}")
        sys.stdout.flush()
    for kind, place in tried:
        count, wrong = tried[kind, place], bad[kind, place]
        print(f"{kind:25} {place:6} {count - wrong:4} of {count} held")
    print(f"  {time.monotonic() - began:.0f} s", flush=True)
    return sum(bad.values())


if __name__ == "__main__":
    sys.exit(main())
