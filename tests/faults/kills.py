"""SIGKILL at random points of publishing and pulling."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.faults import checks
from tests.faults.checks import Outcome
from tests.faults.children import Ended, Sandbox
from tests.faults.model import tree, write_source
from tests.faults.places import Place

AGAIN = "org/again"


def kill_publishers(place: Place, folder: Path, number: int, seed: int) -> Iterator[Outcome]:
    """Kill `qreg publish` at `number` moments; half of the time the name is there already."""
    chance = random.Random(seed)
    sandbox = Sandbox(folder / "sandbox", place.environment)
    first = write_source(folder / "first", 0, place.vocabulary)
    done = sandbox.run("publish", first, "--name", AGAIN, "--to", place.url, "--json")
    if done.code != 0:
        yield Outcome("kill publish", place.name, "without a fault", (done.said,))
        return
    had, longest = [done.json["digest"]], done.seconds
    for count in range(1, number + 1):
        name = AGAIN if count % 2 else f"org/new-{count}"
        source = write_source(folder / f"source-{count}", count, place.vocabulary)
        before = tree(source)
        arguments = ("publish", source, "--name", name, "--to", place.url, "--json")
        moment = chance.uniform(0, longest)
        killed = sandbox.start(*arguments).kill_after(moment)
        known = had if name == AGAIN else []
        problems = [*checks.unchanged(source, before), *_ended(killed)]
        problems += checks.whole(sandbox, place, name, known)
        rerun = sandbox.run(*arguments)
        problems += checks.succeeded(rerun)
        if rerun.code == 0:
            known.append(rerun.json["digest"])
            problems += checks.published(sandbox, place, name, source, before)
            problems += checks.whole(sandbox, place, name, known)
        shutil.rmtree(source)
        what = f"{'killed' if killed.code == -9 else 'ended'} after {moment:.3f} s"
        yield Outcome("kill publish", place.name, what, tuple(problems))


def kill_pullers(place: Place, folder: Path, number: int, seed: int) -> Iterator[Outcome]:
    """Kill `qreg pull` at `number` moments; half of the time it pulls into the cache."""
    chance = random.Random(seed)
    sandbox = Sandbox(folder / "sandbox", place.environment)
    source = write_source(folder / "source", seed=seed)
    before, reference = tree(source), place.reference("org/pulled")
    publish = ("publish", source, "--name", "org/pulled", "--to", place.url)
    output = folder / "output"
    timed = [sandbox.run(*publish), sandbox.run("pull", reference, "--output", output)]
    if any(one.code for one in timed):
        yield Outcome("kill pull", place.name, "without a fault", tuple(t.said for t in timed))
        return
    for count in range(1, number + 1):
        shutil.rmtree(output, ignore_errors=True)
        shutil.rmtree(sandbox.cache, ignore_errors=True)
        into_cache = count % 2 and place.name != "file"
        arguments = ["pull", reference, "--json"]
        arguments += [] if into_cache else ["--output", str(output)]
        moment = chance.uniform(0, timed[1].seconds)
        killed = sandbox.start(*arguments).kill_after(moment)
        problems = list(_ended(killed))
        if killed.code != 0 and output.exists():
            problems += checks.pulled(output, before)
            shutil.rmtree(output)
        problems += checks.corrupt_blobs(sandbox.cache / "pulled")
        rerun = sandbox.run(*arguments)
        if killed.code == 0 and not into_cache:
            problems += checks.failed(rerun, 2)  # the folder is there
        else:
            problems += checks.succeeded(rerun)
        if rerun.code == 0:
            problems += checks.pulled(Path(rerun.json["folder"]), before)
        problems += checks.leftovers(output)
        what = f"{'killed' if killed.code == -9 else 'ended'} after {moment:.3f} s"
        yield Outcome("kill pull", place.name, what, tuple(problems))


def _ended(killed: Ended) -> Iterator[str]:
    if killed.code not in (0, -9):
        yield f"before it was killed: {killed.said}"
