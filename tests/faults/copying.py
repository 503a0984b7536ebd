"""SIGKILL while an artifact is copied from one store to another."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.faults import checks
from tests.faults.checks import Outcome
from tests.faults.children import Sandbox
from tests.faults.model import tree, write_source
from tests.faults.places import PLACES, Place

ORIGINS = {"file": "hf", "hf": "moto", "ms": "hf", "moto": "ms", "swift": "hf"}
_VARIABLES = {"hf": "HF_", "ms": "MODELSCOPE_", "moto": "AWS_", "swift": "AWS_", "file": "-"}


def kill_copiers(place: Place, folder: Path, number: int, seed: int) -> Iterator[Outcome]:
    """Kill `qreg publish REF --to STORE` at `number` moments; REF is in a store of another kind."""
    chance = random.Random(seed)
    folder.mkdir()
    with PLACES[ORIGINS[place.name]](folder) as origin:
        sandbox = Sandbox(folder / "sandbox", {**_own(place), **_own(origin)})
        longest = 0.0
        for count in range(number + 1):
            name = f"org/copied-{count}"
            source = write_source(folder / f"source-{count}", 1000 + count, place.vocabulary)
            before = tree(source)
            first = sandbox.run("publish", source, "--name", name, "--to", origin.url, "--json")
            arguments = ("publish", origin.reference(name), "--to", place.url, "--json")
            problems = [*checks.succeeded(first)]
            moment = chance.uniform(0, longest)
            if count:  # the first one is not killed, and tells how long it takes
                killed = sandbox.start(*arguments).kill_after(moment)
                if killed.code not in (0, -9):
                    problems.append(f"before it was killed: {killed.said}")
                problems += checks.whole(sandbox, place, name)
            done = sandbox.run(*arguments)
            longest = longest or done.seconds
            problems += checks.succeeded(done)
            if not problems:
                problems += checks.published(sandbox, place, name, source, before)
                digests = [one.json["digest"] for one in (first, done)]
                if digests[0] != digests[1]:
                    problems.append(f"copied under another digest: {digests}")
                problems += checks.whole(sandbox, place, name, digests)
            shutil.rmtree(source)
            what = f"from {origin.name}, {f'killed after {moment:.3f} s' if count else 'in peace'}"
            yield Outcome("kill copy", place.name, what, tuple(problems))


def _own(place: Place) -> Mapping[str, str]:
    """The variables of one kind of store: the other kind has a server of its own."""
    prefix = _VARIABLES[place.name]
    return {key: value for key, value in place.environment.items() if key.startswith(prefix)}
