"""Many at once: pullers against a cleaner, publishers of one name against each other."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.faults import checks
from tests.faults.checks import Outcome
from tests.faults.children import Ended, Sandbox
from tests.faults.model import tree, write_source
from tests.faults.places import Place

NAME = "org/crowded"
_TRIES = 5  # of a publisher that is told to publish again


def pullers_and_a_cleaner(place: Place, folder: Path, rounds: int) -> Iterator[Outcome]:
    """Two pulls into the cache, one to a folder, and `qreg cache prune --all` all the while."""
    sandbox = Sandbox(folder / "sandbox", place.environment)
    source = write_source(folder / "source", seed=1)
    before, reference = tree(source), place.reference(NAME)
    done = sandbox.run("publish", source, "--name", NAME, "--to", place.url)
    if done.code != 0:
        yield Outcome("pullers and cleaner", place.name, "without a fault", (done.said,))
        return
    for number in range(rounds):
        output = folder / "output"
        problems: list[str] = []
        ending, cleanings = threading.Event(), list[Ended]()
        cleaner = threading.Thread(target=_clean, args=(sandbox, ending, cleanings))
        cleaner.start()
        pullers = [sandbox.start("pull", reference, "--json") for _ in range(2)]
        pullers.append(sandbox.start("pull", reference, "--output", output, "--json"))
        ended = [puller.wait() for puller in pullers]
        ending.set()
        cleaner.join()
        for one in ended:
            problems += checks.succeeded(one)
        for one in cleanings:
            problems += (f"prune: {problem}" for problem in checks.succeeded(one))
        if ended[2].code == 0:
            problems += checks.pulled(output, before)
        problems += [*checks.leftovers(output), *checks.corrupt_blobs(sandbox.cache / "pulled")]
        last = sandbox.run("pull", reference, "--json")
        problems += checks.succeeded(last)
        if last.code == 0:
            problems += checks.pulled(Path(last.json["folder"]), before)
        shutil.rmtree(output, ignore_errors=True)
        shutil.rmtree(sandbox.cache, ignore_errors=True)
        what = f"round {number + 1}, pruned {len(cleanings)} times"
        yield Outcome("pullers and cleaner", place.name, what, tuple(problems))


def _clean(sandbox: Sandbox, ending: threading.Event, cleanings: list[Ended]) -> None:
    while not ending.is_set():
        cleanings.append(sandbox.run("cache", "prune", "--all"))


def two_publishers(place: Place, folder: Path, rounds: int) -> Iterator[Outcome]:
    """One name, two contents, at once: both digests are whole afterwards.

    A hub refuses a commit for a parent that is not the newest any more; whoever is told so
    publishes again.
    """
    sandbox = Sandbox(folder / "sandbox", place.environment)
    had: list[str] = []
    for number in range(rounds):
        sources = [
            write_source(folder / f"source-{number}-{which}", seed=10 * number + which)
            for which in (1, 2)
        ]
        before = [tree(source) for source in sources]
        commands = [("publish", s, "--name", NAME, "--to", place.url, "--json") for s in sources]
        ended = [child.wait() for child in [sandbox.start(*command) for command in commands]]
        problems: list[str] = []
        again = 0
        for index, command in enumerate(commands):
            for _ in range(_TRIES):
                if ended[index].code == 0 or place.name not in ("hf", "ms"):
                    break
                problems += checks.failed(ended[index], 5, 7)
                ended[index] = sandbox.run(*command)
                again += 1
            problems += checks.succeeded(ended[index])
            problems += checks.unchanged(sources[index], before[index])
            if ended[index].code == 0:
                had.append(ended[index].json["digest"])
        problems += checks.whole(sandbox, place, NAME, had)
        for index, digest in enumerate(had[-2:] if not problems else ()):
            output = folder / "output"
            pull = sandbox.run("pull", f"{place.reference(NAME)}@{digest}", "--output", output)
            problems += checks.succeeded(pull)
            if pull.code == 0:
                problems += checks.pulled(output, before[index])
            shutil.rmtree(output, ignore_errors=True)
        for source in sources:
            shutil.rmtree(source)
        what = f"round {number + 1}, {again} published again"
        yield Outcome("two publishers", place.name, what, tuple(problems))
