"""What is done in a trial, and what must hold afterwards."""

from __future__ import annotations

import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.faults.model import tree, write_source
from tests.faults.power.machine import Failed, Machine, Process

NAME = "org/model"
OTHER = "org/other"
_ROWS = 150_000  # of the large tensors: 2.4 MB a shard, ten parts on the hub


class Sources:
    """Two models that share next to no file; the old one was published long before the trial.

    Args:
        folder: they are made there, not on the disk.
    """

    def __init__(self, folder: Path) -> None:
        self.old = write_source(folder / "old", 1, _ROWS)
        self.new = write_source(folder / "new", 2, _ROWS + 1)
        for source in (self.old, self.new):
            _vary(source)
        self.old_tree, self.new_tree = tree(self.old), tree(self.new)


def _vary(source: Path) -> None:
    """Give a model small files that no other has, some in folders."""
    (source / "tokenizer.json").write_text(json.dumps({"made": source.name}))
    (source / "chat_template.jinja").write_text("{{ messages }}" + source.name * 10_000)
    for name in ("assets/one.txt", "assets/deeper/two.txt"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(f"{name} of {source.name}")


class Case(ABC):
    """One kind of answer.

    Attributes:
        name: for people.
        repeats: doing it again is no error, also if it was done.
    """

    name: str
    repeats = True

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
    """Wait for a command where nothing fails; return what it printed, or raise Failed."""
    ended = process.wait()
    if ended.code != 0:
        raise Failed(f"without a fault: {ended.said}")
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
    machine: Machine, reference: str, *wanted: Mapping[str, str], refused: bool = False
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


def whole(folder: Path, *wanted: Mapping[str, str]) -> Iterator[str]:
    """Problems of a pulled folder: it must have the bytes of one of some trees."""
    found = tree(folder)
    missing = [name for name in ("README.md", "qreg.json") if not found.pop(name, None)]
    if missing or found not in wanted:
        likely = wanted[-1]
        wrong = [*missing, *(path for path in likely if found.get(path) != likely[path])]
        told = ", ".join(f"{path} ({_state(folder / path)})" for path in sorted(wrong))
        yield f"{len(wrong)} of {len(likely) + 2} files of {folder.name} are damaged: {told}"


def _state(path: Path) -> str:
    if not path.is_file():
        return "missing"
    size = path.stat().st_size
    return f"{size} bytes" if path.read_bytes().strip(b"\0") or not size else f"{size} zeros"
