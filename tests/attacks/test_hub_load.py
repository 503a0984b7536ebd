"""What wears a hub out: memory that stays, strangers that say nothing, bodies without end.

`python -m tests.attacks.load` does the same with more of all, and measures.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.load import connections, memory
from tests.attacks.load.client import Finding, client
from tests.attacks.load.scale import scale
from tests.watched_hub import MIB, WatchedHub, faults, watched_hub


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[WatchedHub]:
    connections.allow_files(700)
    with watched_hub(tmp_path, "--part-size", str(memory.PART)) as hub:
        yield hub
        assert not faults(hub.new_log())


def _held(*findings: Finding) -> None:
    assert findings
    problems = [f"{f.what} ({f.figures}): {p}" for f in findings for p in f.problems]
    assert not problems, "\n".join(problems)


def test_commits_with_contents_inside_leave_no_memory_behind(watched: WatchedHub) -> None:
    _held(memory.commits(watched, 30, 4 * MIB))


def test_uploads_that_break_off_leave_no_memory_behind(watched: WatchedHub) -> None:
    _held(memory.cuts(watched, 60, 4 * MIB), memory.refused(watched, 12, 4 * MIB))


def test_strangers_that_say_nothing_are_sent_away_and_others_served(watched: WatchedHub) -> None:
    connections.prepare(watched)
    _held(connections.silent(watched, 300, 50, count=5))


@pytest.mark.parametrize("path", ["/api/v1/login", "/api/repos/create", "/api/v1/models"])
def test_a_large_body_without_a_token_is_not_taken_in(watched: WatchedHub, path: str) -> None:
    _held(connections.large_body(watched, path, 15 * MIB))


def test_headers_without_end_are_refused(watched: WatchedHub) -> None:
    _held(connections.large_headers(watched, 60 * MIB))


def test_many_paths_of_a_large_repository_stop_nobody(watched: WatchedHub) -> None:
    finding = connections.many_paths(watched, 1000, 10_000, 4)
    assert not [problem for problem in finding.problems if "/health took" not in problem]


def test_a_repository_of_many_files_is_answered_like_a_small_one(watched: WatchedHub) -> None:
    """How long that takes is measured by the command; here it is what is answered."""
    assert "HEAD" in scale(watched, 2400, count=2).figures
    with client(watched) as asked:
        pages, path = [], "/api/models/load/many/tree/main?recursive=true"
        for begin in (0, 1000, 2000):
            pages += asked.must("GET", f"{path}&cursor={begin}")
        assert len({row["path"] for row in pages}) == 2400 + 200  # files, and their folders
