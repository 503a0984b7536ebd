"""Stores that others write to, too: manifests that list what no folder can hold, and links."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from registry.artifact import FileEntry, payload_digest
from registry.describe import describe_folder
from tests.checkpoints import write_quantized
from tests.faults.checks import Outcome
from tests.faults.children import Sandbox
from tests.faults.hostile import CONTENT, LISTINGS, NAME, Listing, pull_listing
from tests.faults.places import BUCKET, Place
from tests.servers import s3_client

_LINKS = Listing("a link to a file, and one to a folder", ("link", "linked/x"), (0, 5))
_ITSELF = Listing("the manifest itself", ("qreg.json",))


def hostile_manifests(
    place: Place, folder: Path, listings: Iterable[Listing] = (*LISTINGS, _ITSELF, _LINKS)
) -> Iterator[Outcome]:
    """Each listing as the manifest of a revision, pulled with and without a folder of its own."""
    folder.mkdir()
    model = write_quantized(folder / "model")
    known = describe_folder(model, name=NAME).to_json()
    sandbox = Sandbox(folder / "sandbox", place.environment)

    for listing in listings:
        rows = [*known["files"], *map(_row, listing.names)]
        digest = _digest(rows)
        content = json.dumps({**known, "files": rows, "digest": f"sha256:{digest}"}).encode()
        if place.server:
            _put_objects(place, digest, model, listing, content)
        else:
            _write_revision(folder / "store", digest, model, listing, content)
        url = place.url if place.server else f"file://{folder}/store"
        reference = f"{url}/{NAME}@sha256:{digest}"
        problems = [
            problem
            for output in (None, folder / "outputs" / "output")
            for problem in pull_listing(sandbox, reference, output, folder, listing, model)
        ]
        yield Outcome("hostile manifest", place.name, listing.what, tuple(problems))


def _row(name: str) -> dict[str, Any]:
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    return {"path": name, "size": len(CONTENT), "sha256": sha256}


def _digest(rows: Iterable[dict[str, Any]]) -> str:
    try:
        return payload_digest([FileEntry(**row) for row in rows]).hex
    except ValueError:  # half a character cannot be hashed
        return "0" * 64


def _put_objects(place: Place, digest: str, model: Path, listing: Listing, manifest: bytes) -> None:
    client = s3_client(place.environment)
    contents = {path.name: path.read_bytes() for path in model.iterdir()}
    for name, content in {**dict.fromkeys(listing.names, CONTENT), **contents}.items():
        with suppress(Exception):  # what the server does not take cannot be pulled
            client.put_object(Bucket=BUCKET, Key=f"{NAME}/{digest}/{name}", Body=content)
    client.put_object(Bucket=BUCKET, Key=f"{NAME}/{digest}/qreg.json", Body=manifest)
    client.close()


def _write_revision(
    store: Path, digest: str, model: Path, listing: Listing, manifest: bytes
) -> None:
    revision = store / "artifacts" / NAME / digest
    revision.mkdir(parents=True, exist_ok=True)
    (revision / "qreg.json").write_bytes(manifest)
    (store / "qreg-store.json").write_text('{"layout": 1}')
    for path in model.iterdir():
        (revision / path.name).write_bytes(path.read_bytes())
    if listing is _LINKS:
        elsewhere = store.with_name("elsewhere")
        elsewhere.mkdir()
        (elsewhere / "x").write_bytes(CONTENT)
        (revision / "link").symlink_to(elsewhere / "x")
        (revision / "linked").symlink_to(elsewhere)
    for name in listing.names:
        inside = os.path.normpath(revision / name).startswith(f"{revision}/")
        with suppress(OSError, ValueError, RecursionError):
            if inside and not (revision / name).exists():
                (revision / name).parent.mkdir(parents=True, exist_ok=True)
                (revision / name).write_bytes(CONTENT)
