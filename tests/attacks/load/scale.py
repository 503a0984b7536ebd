"""A repository with many files beside one with few: questions about a few files cost the same."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.attacks.load.client import Client, Finding, client, part_of, timed
from tests.watched_hub import WatchedHub

FEW = 12
_FLAT = 3  # times as long; more is a cost of files that are not asked for


def scale(watched: WatchedHub, files: int, count: int = 100) -> Finding:
    """Ask both for the same; the ratio of the medians of their times."""
    with client(watched) as asked:
        for name, number in (("load/few", FEW), ("load/many", files)):
            _fill(asked, name, number)
        few = {what: timed(ask, count) for what, ask in _questions(asked, "load/few").items()}
        many = {what: timed(ask, count) for what, ask in _questions(asked, "load/many").items()}
    rows, problems = [], []
    for what in few:
        less, more = part_of(few[what], 0.5), part_of(many[what], 0.5)
        rows.append(f"{what} {more / less:.1f}× ({less:.1f} → {more:.1f} ms)")
        if more > _FLAT * less:
            problems.append(f"{what} takes {more / less:.1f} times as long")
    return Finding(f"{files} files beside {FEW}", "; ".join(rows), tuple(problems))


def _fill(asked: Client, name: str, files: int) -> None:
    """Make a repository, each folder of which has `FEW` files."""
    asked.create(name)
    status, said = asked.commit(name, {f"d{n // FEW}/f{n % FEW}.txt": b"x" for n in range(files)})
    assert status == 200, said


def _questions(asked: Client, name: str) -> dict[str, Callable[[], object]]:
    """Questions whose answers are as long for both; each has to be granted."""
    body = json.dumps({"paths": [f"d0/f{number}.txt" for number in range(FEW)]}).encode()

    def files() -> object:
        path = f"/api/v1/models/{name}/repo/files?Revision=master&Root=d0"
        found = asked.must("GET", path)["Data"]["Files"]
        assert len(found) == FEW
        return found

    def tree() -> object:
        found = asked.must("GET", f"/api/models/{name}/tree/main/d0")
        assert len(found) == FEW
        return found

    def paths() -> object:
        found = asked.must("POST", f"/api/models/{name}/paths-info/main", body)
        assert len(found) == FEW
        return found

    return {
        "HEAD": lambda: asked.must("HEAD", f"/{name}/resolve/main/d0/f1.txt"),
        "tree of a folder": tree,
        "paths-info": paths,
        "files of ModelScope": files,
        "refs": lambda: asked.must("GET", f"/api/models/{name}/refs"),
    }
