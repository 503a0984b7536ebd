"""All trials of a place."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tests.faults.checks import Outcome
from tests.faults.power.case import Case, Sources
from tests.faults.power.disk import CannotJudge, require_disks
from tests.faults.power.folders import FirstPublication, KnownPublication, Publication, Pull, Tag
from tests.faults.power.hubs import (
    Commit,
    FirstCommit,
    HubPublication,
    HubTag,
    HubTagRemoved,
    KnownCommit,
    PullFromHub,
    PullIntoCache,
    PullPartIntoCache,
    SkippedCommit,
    TokenMade,
    TokenRevoked,
)
from tests.faults.power.trials import Trials
from tests.own_hub import own_hub

PLACES = ("file", "hf", "ms")


def power_cuts(place: str, folder: Path, number: int, seed: int) -> Iterator[Outcome]:
    """Cut the power at the answer of each kind of work, and amid some of them.

    Args:
        place: one of PLACES.
        folder: for images, of some hundred MB.
        number: of trials of each.
        seed: of the moments.
    """
    try:
        require_disks(folder)
    except CannotJudge as error:
        yield Outcome("power cuts", place, "none was tried", (str(error),))
        return
    sources = Sources(folder / "sources")
    with _ending_in_order(), _cases(place, sources, folder / "elsewhere") as (answers, amid):
        for case in answers:
            yield from Trials(case, place, folder / "trials").after_answers(number, seed)
        for case in amid:
            yield from Trials(case, place, folder / "trials").halfway(number, seed)


@contextmanager
def _cases(
    place: str, sources: Sources, elsewhere: Path
) -> Iterator[tuple[list[Case], list[Case]]]:
    """What is cut at its answer, and what amid its work; `elsewhere` is not on the disk."""
    if place == "file":
        pull, kinds = Pull(sources, elsewhere), (FirstPublication, KnownPublication, Tag)
        publication = Publication(sources)
        yield [publication, *(kind(sources) for kind in kinds), pull], [publication, pull]
        return
    with own_hub(elsewhere) as hub:
        pulls = [
            kind(sources, f"{place}://", hub.environment)
            for kind in (PullFromHub, PullIntoCache, PullPartIntoCache)
        ]
        through = HubPublication(sources, f"{place}://")
        if place == "ms":
            yield [through, *pulls[:2]], [through]
            return
        commits = [kind(sources) for kind in (Commit, FirstCommit, KnownCommit, SkippedCommit)]
        others = [kind(sources) for kind in (HubTag, HubTagRemoved, TokenMade, TokenRevoked)]
        yield [*commits, *others, through, *pulls], [*commits[::3], *pulls]


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """On SIGTERM unmount and restore as on Ctrl-C."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
