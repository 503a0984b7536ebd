"""The short version of `python -m tests.faults`: a few faults of each kind."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.faults.changing import changing_sources
from tests.faults.checks import Outcome
from tests.faults.copying import kill_copiers
from tests.faults.crowds import pullers_and_a_cleaner, two_publishers
from tests.faults.disk import full_hub, limited_files, small_disk
from tests.faults.hostile import LISTINGS, hostile_listings
from tests.faults.hostile_stores import hostile_manifests
from tests.faults.kills import kill_publishers, kill_pullers
from tests.faults.places import PLACES
from tests.faults.wire import broken_publications, broken_pulls

SEED = 2
KILLS = {"file": 3, "moto": 1, "swift": 1, "hf": 2, "ms": 1}
PULLS = {
    "hf": [("shard", "flip"), ("small file", "flip")],
    "ms": [("manifest", "500")],
    "moto": [("shard", "range")],
    "swift": [("manifest", "cut")],
}
PUBLICATIONS = {
    "hf": [("commit", "lost"), ("upload", "spoil")],
    "ms": [("upload", "reset")],
    "moto": [("manifest", "500")],
    "swift": [("bytes", "spoil")],
}


def _held(outcomes: Iterable[Outcome]) -> None:
    tried = list(outcomes)
    assert tried
    broken = [f"{o.place}, {o.what}: {problem}" for o in tried for problem in o.problems]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("name", KILLS)
def test_killed_at_any_moment(name: str, tmp_path: Path) -> None:
    with PLACES[name](tmp_path) as place:
        _held(kill_publishers(place, tmp_path / "publishers", KILLS[name], SEED))
        _held(kill_pullers(place, tmp_path / "pullers", KILLS[name], SEED))


@pytest.mark.parametrize("name", PULLS)
def test_servers_that_fail(name: str, tmp_path: Path) -> None:
    with PLACES[name](tmp_path) as place:
        _held(broken_pulls(place, tmp_path / "pulls", PULLS[name]))
        _held(broken_publications(place, tmp_path / "publications", PUBLICATIONS[name]))


def test_full_disks(tmp_path: Path) -> None:
    with PLACES["hf"](tmp_path) as place:
        _held(limited_files(place, tmp_path / "limited"))
        _held(small_disk(place, tmp_path / "small"))
    _held(full_hub("hf", tmp_path / "full"))


@pytest.mark.parametrize("name", ["hf", "moto"])
def test_sources_that_change(name: str, tmp_path: Path) -> None:
    with PLACES[name](tmp_path) as place:
        _held(changing_sources(place, tmp_path / "sources"))


@pytest.mark.parametrize("name", ["file", "hf"])
def test_many_at_once(name: str, tmp_path: Path) -> None:
    with PLACES[name](tmp_path) as place:
        if name != "file":
            _held(pullers_and_a_cleaner(place, tmp_path / "pullers", 1))
        _held(two_publishers(place, tmp_path / "publishers", 1))


@pytest.mark.parametrize("scheme", ["hf", "ms"])
def test_hostile_listings(scheme: str, tmp_path: Path) -> None:
    short = [one for one in LISTINGS if len(one.names) < 100]
    _held(hostile_listings(scheme, tmp_path, short[:: 4 if scheme == "ms" else 3]))


def test_hostile_manifests(tmp_path: Path) -> None:
    with PLACES["moto"](tmp_path) as place:
        chosen = [one for one in LISTINGS if one.what in ("../x", "a file and a folder")]
        _held(hostile_manifests(place, tmp_path / "manifests", chosen))


def test_copies_that_are_killed(tmp_path: Path) -> None:
    with PLACES["ms"](tmp_path) as place:
        _held(kill_copiers(place, tmp_path / "copies", 1, SEED))
