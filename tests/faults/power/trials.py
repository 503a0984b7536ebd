"""Trials: do it, cut the power, start again, judge."""

from __future__ import annotations

import itertools
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.faults.checks import Outcome
from tests.faults.children import Ended
from tests.faults.power.case import Case
from tests.faults.power.disk import (
    CannotJudge,
    Disk,
    copy_image,
    force_out,
    late_writeback,
    make_image,
    mounted,
)
from tests.faults.power.machine import Failed, Machine

_TRIES = 5
_numbers = itertools.count()
_WITNESS = b"a witness" * 5000


class Trials:
    """Trials of one case, each on a copy of the same disk.

    Args:
        case: what is done.
        place: of whose outcomes it tells.
        folder: for images; what is in it goes away.
    """

    def __init__(self, case: Case, place: str, folder: Path) -> None:
        self._case, self._place, self._folder = case, place, folder
        self._base = folder / "base.img"
        self._disk = folder / "disk"

    def after_answers(self, number: int, seed: int) -> Iterator[Outcome]:
        """Cut the power at the moment of the answer, some times.

        Of four trials two are done again after a first one was killed: what that left is known by
        then, and is in memory only.
        """
        chance, longest = random.Random(seed), self._prepare(timed=self._case.repeats)
        for count in range(1, number + 1):
            moment = chance.uniform(0, longest)
            killed = moment if self._case.repeats and count % 4 in (3, 0) else None
            yield self._outcome("cut", count, killed, None)

    def halfway(self, number: int, seed: int) -> Iterator[Outcome]:
        """Cut the power at some moments of the work, then do it again."""
        chance, longest = random.Random(seed), self._prepare(timed=True)
        for count in range(1, number + 1):
            yield self._outcome("amid", count, None, chance.uniform(0, longest))

    def _outcome(
        self, kind: str, count: int, killed: float | None, moment: float | None
    ) -> Outcome:
        neighbour = count % 2 == 0
        what = f"trial {count}, {'names without contents' if neighbour else 'nothing by luck'}"
        what += f", killed after {killed:.3f} s and done again" if killed is not None else ""
        what += f", cut after {moment:.3f} s" if moment is not None else ""
        problems: tuple[str, ...] = ()
        for _ in range(_TRIES):
            try:
                problems = self._judge(neighbour, killed, moment)
                break
            except (Failed, requests.RequestException) as error:
                problems = (f"{type(error).__name__}: {error}",)
                break
            except CannotJudge as error:  # something forced all out just then
                problems = (f"cannot judge: {error}",)
        return Outcome(f"{kind}, {self._case.name}", self._place, what, problems)

    def _prepare(self, *, timed: bool = False) -> float:
        """Make the disk that each trial begins with; seconds that the work takes, if asked."""
        shutil.rmtree(self._folder, ignore_errors=True)  # of the case before
        self._folder.mkdir(parents=True)
        make_image(self._base)
        machine = Machine(self._folder, self._disk)
        with self._powered(machine, self._base):
            self._case.prepare(machine)
        if not timed:
            return 0.0
        live = self._new_image()
        copy_image(self._base, live)
        with self._powered(machine, live):
            self._case.begin(machine)
            return self._case.work(machine).wait().seconds

    def _judge(
        self, neighbour: bool, killed: float | None, moment: float | None
    ) -> tuple[str, ...]:
        """Do the work, cut the power at its answer or at a moment, start again, look."""
        machine = Machine(self._folder, self._disk, apart=not neighbour)
        cut = self._new_image()
        ended = self._cut_off(machine, cut, neighbour, killed, moment)
        if ended.code != 0 and (moment is None or ended.code is not None):
            return (f"before the cut: {ended.said}",)
        with self._powered(machine, cut):
            _require_witness(self._disk)
            machine.restart()
            if moment is None:
                return tuple(self._case.acknowledged(machine, ended.out.strip()))
            problems = [f"then: {problem}" for problem in self._case.halfway(machine)]
            self._case.begin(machine)
            again = self._case.work(machine).wait()
            if again.code != 0:
                return (*problems, f"again: {again.said}")
            machine.kill()
            after = self._case.acknowledged(machine, again.out.strip())
            return (*problems, *(f"after doing it again: {problem}" for problem in after))

    def _cut_off(
        self,
        machine: Machine,
        cut: Path,
        neighbour: bool,
        killed: float | None,
        moment: float | None,
    ) -> Ended:
        """Do the work, and copy the disk at its answer, or some seconds after its beginning."""
        live = self._new_image()
        copy_image(self._base, live)
        with self._powered(machine, live) as disk, late_writeback():
            _write_witness(disk.folder)
            self._case.begin(machine)
            if killed is not None:
                self._case.work(machine)
                time.sleep(killed)
                machine.kill()
                self._case.begin(machine)
            process = self._case.work(machine)
            if moment is None:
                ended = process.wait()
            else:
                time.sleep(moment)
                ended = process.wait(0)
            machine.stop()
            if neighbour:
                _be_a_neighbour(disk.folder)
            disk.copy(cut)
        return ended

    def _new_image(self) -> Path:
        """A file that never was an image.

        Whoever makes a mount namespace meanwhile, also another program, has our mounts in it and
        keeps them; `mount` would take the loop device of such a file again, and show what it had.
        """
        return self._folder / f"{next(_numbers)}.img"

    @contextmanager
    def _powered(self, machine: Machine, image: Path) -> Iterator[Disk]:
        """A machine that runs on an image until the block ends; all but the base is thrown away."""
        try:
            with mounted(image, self._disk) as disk:
                try:
                    yield disk
                finally:
                    machine.kill()
        finally:
            if image != self._base:
                image.unlink()


def _write_witness(disk: Path) -> None:
    kept, lost = disk / "kept", disk / "lost"
    kept.write_bytes(_WITNESS)
    force_out(kept, disk)
    lost.write_bytes(_WITNESS)


def _be_a_neighbour(disk: Path) -> None:
    """Force out a file; ext4 commits all names of the disk with it."""
    file = disk / "neighbour"
    file.write_bytes(_WITNESS)
    force_out(file, disk)


def _require_witness(disk: Path) -> None:
    """Raise CannotJudge unless this is a disk that lost what was in memory, and no more."""
    kept, lost = disk / "kept", disk / "lost"
    if not kept.is_file() or kept.read_bytes() != _WITNESS:
        raise CannotJudge("the copy lacks a file that was forced to the disk")
    if lost.is_file() and lost.read_bytes().strip(b"\0"):
        raise CannotJudge("something forced everything to the disk just then: `sync`, full memory")
