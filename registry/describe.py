"""Making the manifest of a folder: read its headers, hash its files, write down what is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from registry.artifact import MANIFEST_FILE, FileEntry, Manifest, payload_digest
from registry.checkpoint import Checkpoint, open_checkpoint
from registry.checkpoint.facts import read_facts
from registry.clock import utc_now
from registry.folder import hash_files, list_files, require_folder
from registry.progress import Observer, ignore


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
) -> Manifest:
    """Derive the manifest of a folder from its content; every file is read and hashed.

    What a manifest in the folder says of provenance and evidence is kept; all else is derived anew.

    Args:
        folder: a checkpoint.
        name: ORG/NAME; default: the name in the folder's manifest, else the folder's own name.
        provenance: replaces what the folder's manifest says of it.
        observe: is told the bytes hashed.
        follow_outside: as in `list_files`.

    Raises:
        NotFoundError, IntegrityError: the folder is not a whole checkpoint.
    """
    checkpoint = open_checkpoint(folder)
    paths = [p for p in list_files(folder, follow_outside=follow_outside) if p != MANIFEST_FILE]
    files = hash_files(folder, paths, observe)
    known = read_manifest(folder)
    return compose(
        checkpoint,
        files,
        name=name or (known.name if known else folder.resolve().name),
        provenance=provenance
        if provenance is not None
        else (known.provenance if known and known.digest == payload_digest(files) else {}),
        known=known,
    )


def compose(
    checkpoint: Checkpoint,
    files: tuple[FileEntry, ...],
    *,
    name: str,
    provenance: Mapping[str, Any],
    known: Manifest | None = None,
) -> Manifest:
    """Put a manifest together from facts; evidence counts only for the digest that it was for."""
    facts = read_facts(checkpoint)
    digest = payload_digest(files)
    same = known is not None and known.digest == digest
    return Manifest(
        name=name,
        digest=digest,
        files=files,
        architecture=facts.architecture.to_json(),
        quantization=facts.quantization.to_json(),
        footprint=facts.footprint,
        provenance=provenance,
        evidence=known.evidence if known and same else (),
        created=known.created if known and same else utc_now(),
        extra=known.extra if known else {},
        file_extra=known.file_extra if known and same else {},
    )
