"""Sources that change after they were hashed and before they are sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.faults import checks
from tests.faults.checks import Outcome
from tests.faults.children import Sandbox
from tests.faults.model import tree, write_source
from tests.faults.places import Place

_FILES = ("model-00002-of-00002.safetensors", "chat_template.jinja")


def changing_sources(place: Place, folder: Path) -> Iterator[Outcome]:
    """One byte of a file, or all of it, gone: nothing is published; put back, all is."""
    sandbox = Sandbox(folder / "sandbox", place.environment)
    for number, file in enumerate(_FILES):
        for way in ("flip", "remove"):
            name = f"org/{way}-{number}"
            source = write_source(folder / name, seed=hash_of(name), vocabulary=place.vocabulary)
            # What a store has already is not read again.
            (source / _FILES[1]).write_text(f"{{{{ messages }}}} {name}")
            before, content = tree(source), (source / file).read_bytes()
            arguments = ("publish", source, "--name", name, "--to", place.url, "--json")
            ended = sandbox.run(*arguments, meddle=(way, str(source / file)))
            problems = [*checks.failed(ended, 3, 5, 7), *checks.whole(sandbox, place, name)]
            if (source / file).exists() and (source / file).read_bytes() == content:
                problems.append("the file was not changed")
            (source / file).write_bytes(content)
            ended = sandbox.run(*arguments)
            problems += checks.succeeded(ended)
            problems += checks.published(sandbox, place, name, source, before)
            yield Outcome("changing source", place.name, f"{way} {file}", tuple(problems))


def hash_of(name: str) -> int:
    """A number for a name, the same in each run."""
    return int.from_bytes(name.encode(), "big") % 2**31
