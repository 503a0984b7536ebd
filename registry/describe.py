"""Making the manifest of a folder: read its headers, hash its files, write down what is known.

What reads checkpoints is imported when something must be derived: whoever pulls an artifact that
carries its manifest does not wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.artifact import FileEntry, Manifest, payload_digest
from registry.clock import utc_now
from registry.errors import IntegrityError
from registry.folder import hash_files, list_files, require_folder
from registry.listing import carried_manifest, check_listing, require_files
from registry.names import one_line
from registry.payload import MANIFEST_FILE
from registry.progress import Observer, ignore
from registry.source import Source

_LONGEST = 255  # characters of a folder's name, escaped: a manifest takes no more than 512

if TYPE_CHECKING:
    from registry.checkpoint import Checkpoint
    from registry.checkpoint.facts import Facts


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest that a folder carries, or None; raises IntegrityError if it is damaged."""
    path = require_folder(folder) / MANIFEST_FILE
    return Manifest.from_bytes(path.read_bytes()) if path.is_file() else None


def describe_folder(
    folder: Path,
    *,
    name: str = "",
    provenance: Mapping[str, Any] | None = None,
    observe: Observer = ignore,
    follow_outside: bool = False,
    facts: Facts | None = None,
    found: Callable[[FileEntry], None] = lambda entry: None,
) -> Manifest:
    """Derive the manifest of a folder from its content; every file is read and hashed.

    What a manifest in the folder says of provenance and evidence is kept; all else is derived anew.

    Args:
        folder: a checkpoint.
        name: ORG/NAME; default: the name in the folder's manifest, else the folder's own name.
        provenance: replaces what the folder's manifest says of it.
        observe: is told the bytes hashed.
        follow_outside: as in `list_files`.
        facts: of the folder, where they were read already.
        found: is told each file when it is hashed, as in `hash_files`.

    Raises:
        NotFoundError, IntegrityError: the folder is not a whole checkpoint.
    """
    from registry.checkpoint import open_checkpoint
    from registry.checkpoint.facts import read_facts

    if facts is None:
        facts = read_facts(open_checkpoint(folder))
    paths = [p for p in list_files(folder, follow_outside=follow_outside) if p != MANIFEST_FILE]
    files = hash_files(folder, paths, observe, found=found)
    known = read_manifest(folder)
    return compose(
        facts.checkpoint,
        files,
        name=name or (known.name if known else one_line(folder.resolve().name)[:_LONGEST]),
        provenance=provenance
        if provenance is not None
        else (known.provenance if known and known.digest == payload_digest(files) else {}),
        known=known,
        facts=facts,
    )


def compose(
    checkpoint: Checkpoint,
    files: tuple[FileEntry, ...],
    *,
    name: str,
    provenance: Mapping[str, Any],
    known: Manifest | None = None,
    facts: Facts | None = None,
) -> Manifest:
    """Put a manifest together from facts; evidence counts only for the digest that it was for."""
    from registry.checkpoint.facts import read_facts

    facts = facts or read_facts(checkpoint)
    digest = payload_digest(files)
    same = known if known is not None and known.digest == digest else None
    return Manifest(
        name=name,
        digest=digest,
        files=files,
        # Fields that only a newer qreg knows are kept.
        architecture={
            **(same.architecture if same else {}),
            **facts.architecture.to_json(),
        },
        quantization={
            **(same.quantization if same else {}),
            **facts.quantization.to_json(),
        },
        footprint={**(same.footprint if same else {}), **facts.footprint},
        provenance=provenance,
        evidence=same.evidence if same else (),
        created=same.created if same else utc_now(),
        extra=known.extra if known else {},
        file_extra=same.file_extra if same else {},
    )


def describe_source(source: Source, name: str) -> Manifest:
    """The manifest of an artifact on a hub, from its listing and metadata; no weights are read.

    Args:
        source: the hub's repository.
        name: ORG/NAME.

    Raises:
        IntegrityError: an unsafe name, a file that is listed twice, or a `qreg.json` that describes
            other files.
        IncompatibleError: the hub does not tell the sha256 of large files.
        NotFoundError: it is no whole checkpoint.
    """
    check_listing(source)
    files = require_files(source)
    known = carried_manifest(source)
    if known is not None and known.digest != payload_digest(files):
        raise IntegrityError(
            f"{MANIFEST_FILE} of {source.label} describes {known.digest}, its files are "
            f"{payload_digest(files)}",
            remedy="Files were changed after it was published. Use the revision that was "
            "published (a tag, or @sha256:…), or publish it again.",
        )
    if known is not None:
        return replace(known, name=name, files=files)
    from registry.checkpoint import open_checkpoint

    return compose(open_checkpoint(source), files, name=name, provenance={})
