"""What `qreg` alone answers for: publishing to a folder, tags, pulling from one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.faults.power.case import (
    NAME,
    OTHER,
    Case,
    Sources,
    resolves,
    sound,
    succeed,
    tags,
    whole,
)
from tests.faults.power.machine import Machine, Process


class Publication(Case):
    """`qreg publish` to a folder, with a tag that named another revision; contents are new."""

    name = "publish new"

    def prepare(self, machine: Machine) -> None:
        for name in (NAME, "org/bystander"):
            succeed(_publish(machine, self.sources.old, name, "--tag", "stable"))

    def work(self, machine: Machine) -> Process:
        return _publish(machine, self.sources.new, NAME, "--tag", "stable")

    def acknowledged(self, machine: Machine, said: str) -> Iterator[str]:
        digest = json.loads(said)["digest"]
        found = tags(machine, NAME)
        for tag in ("latest", "stable"):
            if found.get(tag) != digest:
                yield f"{tag} names {found.get(tag)} in place of {digest}"
        yield from resolves(machine, f"{machine.registry}/{NAME}@{digest}", self.sources.new_tree)
        yield from resolves(machine, f"{machine.registry}/{NAME}", self.sources.new_tree)
        yield from sound(machine)

    def halfway(self, machine: Machine) -> Iterator[str]:
        old, new = self.sources.old_tree, self.sources.new_tree
        yield from resolves(machine, f"{machine.registry}/{NAME}", old, new)
        yield from resolves(machine, f"{machine.registry}/{NAME}@stable", old, new)
        yield from resolves(machine, f"{machine.registry}/org/bystander", old)


class FirstPublication(Publication):
    """The same, to a folder that is not there yet."""

    name = "publish first"

    def prepare(self, machine: Machine) -> None:
        """Nothing is there."""

    def halfway(self, machine: Machine) -> Iterator[str]:
        reference = f"{machine.registry}/{NAME}"
        yield from resolves(machine, reference, self.sources.new_tree, refused=True)


class KnownPublication(Publication):
    """The same, of contents that another artifact has already."""

    name = "publish known"

    def prepare(self, machine: Machine) -> None:
        super().prepare(machine)
        succeed(_publish(machine, self.sources.new, OTHER))


class Tag(Publication):
    """A tag is moved to a revision that is there."""

    name = "tag moved"

    def prepare(self, machine: Machine) -> None:
        succeed(_publish(machine, self.sources.new, NAME))
        super().prepare(machine)


class Pull(Case):
    """`qreg pull --output` from a folder elsewhere."""

    name = "pull --output"

    def __init__(self, sources: Sources, origin: Path) -> None:
        super().__init__(sources)
        self._url = f"file://{origin}"

    def prepare(self, machine: Machine) -> None:
        machine.output.parent.mkdir()
        succeed(machine.start("publish", self.sources.new, "--name", NAME, "--to", self._url))

    def begin(self, machine: Machine) -> None:
        shutil.rmtree(machine.output, ignore_errors=True)

    def work(self, machine: Machine) -> Process:
        return machine.start("pull", f"{self._url}/{NAME}", "--output", machine.output)

    def acknowledged(self, machine: Machine, said: str) -> Iterator[str]:
        yield from stands(machine, machine.output, self.sources.new_tree)

    def halfway(self, machine: Machine) -> Iterator[str]:
        if machine.output.exists():
            yield from stands(machine, machine.output, self.sources.new_tree)


def stands(machine: Machine, folder: Path, wanted: dict[str, str]) -> Iterator[str]:
    """Problems of a folder that was pulled: its bytes, and what `qreg verify` says of it."""
    if not folder.is_dir():
        yield f"{folder.name} is lost"
        return
    wrong = list(whole(folder, wanted))
    yield from wrong
    ended = machine.run("verify", folder)
    if ended.code != 0:
        yield f"qreg verify: {ended.said}"
    elif wrong:
        yield "qreg verify says that it is right"


def _publish(machine: Machine, source: Path, name: str, *options: str) -> Process:
    to = ("--to", machine.registry, "--json")
    return machine.start("publish", source, "--name", name, *to, *options)
