"""What must hold after each fault."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.faults.children import Ended, Sandbox
from tests.faults.model import tree
from tests.faults.places import Place


@dataclass(frozen=True)
class Outcome:
    """How one fault went.

    Attributes:
        kind: of the fault.
        place: where.
        what: happened.
        problems: what did not hold; none if all is well.
    """

    kind: str
    place: str
    what: str
    problems: tuple[str, ...] = ()


def whole(sandbox: Sandbox, place: Place, name: str, had: Collection[str] = ()) -> Iterator[str]:
    """Problems of a name in a store: all that is listed is whole, and what was there still is.

    Args:
        sandbox: looks.
        place: the store.
        name: ORG/NAME.
        had: digests that were published before.
    """
    looked = sandbox.run("whole", place.url, name, env=place.environment)
    if looked.code != 0:
        yield f"looking at {name} failed: {looked.said}"
        return
    found = looked.json
    yield from (f"{digest}: {fault}" for digest, fault in found["revisions"].items() if fault)
    yield from (f"{digest} is lost" for digest in had if digest not in found["revisions"])
    resolves = found["resolves"]
    if resolves is None and (had or not found["error"].startswith(("3 ", "6 "))):
        yield f"{name} does not resolve: {found['error']}"
    if resolves is not None and resolves not in found["revisions"]:
        yield f"{name} resolves to {resolves}, which is not listed: {list(found['revisions'])}"
    yield from corrupt_blobs(place.blobs)


def published(
    sandbox: Sandbox, place: Place, name: str, source: Path, before: Mapping[str, str]
) -> Iterator[str]:
    """Problems of a publication that ended well: it is what resolves, and is what the folder is."""
    yield from unchanged(source, before)
    looked = sandbox.run("whole", place.url, name, env=place.environment)
    if looked.code != 0:
        yield f"looking at {name} failed: {looked.said}"
        return
    files = {path: sha for path, sha in looked.json["files"].items() if path != "README.md"}
    if files != before:
        yield f"{name} resolves to other files: {looked.json['error'] or sorted(files)}"


def unchanged(source: Path, before: Mapping[str, str]) -> Iterator[str]:
    """Problems of a source: it must be as it was."""
    if tree(source) != before:
        yield f"the source {source} was changed"


def pulled(folder: Path, source: Mapping[str, str]) -> Iterator[str]:
    """Problems of a folder that was pulled: it must have the bytes of the source."""
    found = tree(folder)
    for extra in ("README.md", "qreg.json"):
        if not found.pop(extra, None):
            yield f"{folder} has no {extra}"
    if found != source:
        yield f"{folder} is not what was published: {sorted(set(found) ^ set(source))}"


def nothing_accepted(sandbox: Sandbox, folder: Path) -> Iterator[str]:
    """Problems of a pull that failed: there is no folder, and the cache has nothing wrong."""
    if folder.exists():
        yield f"{folder} is there after a pull that failed"
    artifacts = sandbox.cache / "pulled" / "artifacts"
    yield from (f"{path} is there" for path in artifacts.glob("*/*/*/qreg.json"))
    yield from corrupt_blobs(sandbox.cache / "pulled")
    yield from corrupt_blobs(folder.parent / f".{folder.name}.qreg-received")


def corrupt_blobs(root: Path | None) -> Iterator[str]:
    """Contents that are not what their names say."""
    for path in (root / "blobs").glob("??/*") if root else ():
        if hashlib.sha256(path.read_bytes()).hexdigest() != path.name:
            yield f"{path} is not what its name says"


def leftovers(folder: Path) -> Iterator[str]:
    """Hidden files beside a folder that a pull which ended well has no use for."""
    hidden = [path.name for path in folder.parent.glob(f".{folder.name}.qreg-*")]
    if hidden:
        yield f"left beside {folder.name}: {hidden}"


def failed(ended: Ended, *codes: int) -> Iterator[str]:
    """Problems of a command that had to fail: with one of these codes, and in words."""
    if ended.code not in codes:
        yield f"exit code {ended.code} in place of {codes}: {ended.said}"
    elif ("Error:" not in ended.err and '"error"' not in ended.out) or "Traceback" in ended.err:
        yield f"no clear message: {ended.said}"


def succeeded(ended: Ended) -> Iterator[str]:
    """Problems of a command that had to succeed."""
    if ended.code != 0:
        yield ended.said
