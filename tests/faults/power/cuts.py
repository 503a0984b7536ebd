"""All trials of a place."""

from __future__ import annotations

import shutil
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
from tests.faults.power.folders import KnownPublication, Publication, Pull, Tag
from tests.faults.power.hubs import (
    Commit,
    HubPublication,
    HubTag,
    HubTagRemoved,
    KnownCommit,
    PullFromHub,
    PullIntoCache,
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
    with _ending_in_order():
        if place == "file":
            origin = folder / "origin"
            pull = Pull(sources, origin)
            answers: list[Case] = [Publication(sources), KnownPublication(sources), Tag(sources)]
            yield from _all(
                [*answers, pull], [Publication(sources), pull], place, folder, number, seed
            )
            return
        with own_hub(folder / "elsewhere") as hub:
            pulls: list[Case] = [
                kind(sources, f"{place}://", hub.environment)
                for kind in (PullFromHub, PullIntoCache)
            ]
            publication = HubPublication(sources, f"{place}://")
            if place == "ms":
                yield from _all([publication, *pulls], [publication], place, folder, number, seed)
                return
            kinds = (
                Commit, KnownCommit, SkippedCommit, HubTag, HubTagRemoved, TokenMade, TokenRevoked,
            )  # fmt: skip
            answers = [*(kind(sources) for kind in kinds), publication, *pulls]
            amid = [Commit(sources), SkippedCommit(sources), *pulls]
            yield from _all(answers, amid, place, folder, number, seed)


def _all(
    answers: list[Case], amid: list[Case], place: str, folder: Path, number: int, seed: int
) -> Iterator[Outcome]:
    for case in answers:
        yield from Trials(case, place, folder / "trials").after_answers(number, seed)
        shutil.rmtree(folder / "trials")
    for case in amid:
        yield from Trials(case, place, folder / "trials").halfway(number, seed)
        shutil.rmtree(folder / "trials")


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
