"""What is done in a trial, and what must hold afterwards."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from tests.faults import checks
from tests.faults.model import tree, write_source
from tests.faults.power.machine import Machine, Process

NAME = "org/model"
OTHER = "org/other"
_ROWS = 150_000  # of the large tensors: 2.4 MB a shard, ten parts on the hub


class Sources:
    """Two models that share no large file; the old one was published long before the trial.

    Args:
        folder: they are made there, not on the disk.
    """

    def __init__(self, folder: Path) -> None:
        self.old = write_source(folder / "old", 1, _ROWS)
        self.new = write_source(folder / "new", 2, _ROWS + 1)
        self.old_tree, self.new_tree = tree(self.old), tree(self.new)


class Case(ABC):
    """One kind of answer.

    Attributes:
        name: for people.
    """

    name: str

    def __init__(self, sources: Sources) -> None:
        self.sources = sources

    @abstractmethod
    def prepare(self, machine: Machine) -> None:
        """Make what was there long before; all of it is forced to the disk afterwards."""

    def begin(self, machine: Machine) -> None:  # noqa: B027 - most have nothing to begin
        """What comes just before, on the same machine; servers are started here."""

    @abstractmethod
    def work(self, machine: Machine) -> Process:
        """Begin what will be answered; called after `begin`."""

    @abstractmethod
    def acknowledged(self, machine: Machine, said: str) -> Iterator[str]:
        """Problems after an answer that was printed as `said`, on the machine started again."""

    def halfway(self, machine: Machine) -> Iterator[str]:
        """Problems after a cut without an answer; also makes room for doing it again."""
        raise NotImplementedError(f"{self.name} is not cut halfway")


def succeed(process: Process) -> str:
    """Wait for a command that must succeed where nothing fails; return what it printed."""
    ended = process.wait()
    if ended.code != 0:
        raise RuntimeError(f"without a fault: {ended.said}")
    return ended.out.strip()


def sound(machine: Machine) -> Iterator[str]:
    """Problems of a registry, told by `qreg verify --all`."""
    ended = machine.run("verify", "--all", "--from", machine.registry)
    if ended.code != 0:
        yield f"qreg verify --all: {ended.said}"


def tags(machine: Machine, name: str) -> dict[str, str]:
    """The digests that an artifact's tags name in the registry."""
    listed = machine.run("list", name, "--from", machine.registry, "--json")
    rows = listed.json["artifacts"] if listed.code == 0 else []
    return {tag: row["digest"] for row in rows for tag in row["tags"]}


def resolves(
    machine: Machine, reference: str, *wanted: dict[str, str], refused: bool = False
) -> Iterator[str]:
    """Problems of pulling a reference: it must give one of some trees.

    Args:
        machine: pulls.
        reference: of an artifact.
        wanted: the sha256 by path of each tree that will do.
        refused: an error will do, too.
    """
    output = machine.disk / "work" / "look"
    shutil.rmtree(output, ignore_errors=True)
    ended = machine.run("pull", reference, "--output", output)
    if ended.code == 0:
        yield from whole(output, *wanted)
    elif not refused or ended.code not in (3, 5, 6, 7):
        yield f"qreg pull {reference}: {ended.said}"


def whole(folder: Path, *wanted: dict[str, str]) -> Iterator[str]:
    """Problems of a pulled folder: it must have the bytes of one of some trees."""
    found = [list(checks.pulled(folder, files)) for files in wanted]
    if all(found):
        empty = [path.name for path in folder.rglob("*") if path.is_file() and _is_empty(path)]
        yield from found[-1]
        if empty:
            yield f"{len(empty)} files of zeros or nothing: {', '.join(sorted(empty))}"


def _is_empty(path: Path) -> bool:
    return not path.read_bytes().strip(b"\0")
