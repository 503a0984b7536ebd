"""Pulling: bring an artifact to this machine and check every byte of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from registry.artifact import MANIFEST_FILE, FileEntry, Manifest
from registry.config import Settings
from registry.describe import read_manifest
from registry.errors import IntegrityError, TransferError
from registry.files import write_atomically
from registry.folder import require_folder
from registry.progress import Observer, Progress, ignore
from registry.resolve import resolve
from registry.staging import staged_folder
from registry.transfer.verification import check_files

_CHUNK = 8 * 2**20


@dataclass(frozen=True)
class Pulled:
    """A verified artifact on this machine."""

    folder: Path
    manifest: Manifest
    reference: str


def pull(
    text: str, settings: Settings, *, output: Path | None = None, observe: Observer = ignore
) -> Pulled:
    """Bring an artifact here and verify the sha256 of every file.

    Without `output` an artifact that already lies on this machine, in a folder or in a local
    registry, is verified where it is. A verification is remembered until a file changes.

    Args:
        text: a reference.
        settings: where the registry and the cache are.
        output: a new or empty folder for a copy of its own.
        observe: is told the bytes verified or copied.

    Raises:
        UsageError: `output` is not empty.
        NotFoundError: the reference names nothing.
        IntegrityError: a file is not what the manifest says; nothing is left in `output`.
    """
    resolved = resolve(text, settings)
    manifest = resolved.manifest(observe)
    if resolved.folder is None:
        raise TransferError(
            f"{resolved.reference} is not on this machine, and its store offers no folder",
            remedy="Publish it to a local registry first.",
        )
    if output is None:
        # A manifest that was just derived from the files needs no comparison with them.
        if resolved.snapshot is not None or read_manifest(resolved.folder) is not None:
            check_files(resolved.folder, manifest, settings, observe)
        return Pulled(resolved.folder, manifest, resolved.reference)
    _copy(resolved.folder, manifest, output, observe)
    return Pulled(output, manifest, resolved.reference)


def _copy(source: Path, manifest: Manifest, output: Path, observe: Observer) -> None:
    require_folder(source)
    try:
        with staged_folder(output) as staging:
            done, total = 0, manifest.size
            for entry in manifest.files:
                observe(Progress("pulling", done, total, "bytes", entry.path))
                _copy_file(source, entry, staging)
                done += entry.size
            observe(Progress("pulling", total, total, "bytes"))
            write_atomically(staging / MANIFEST_FILE, manifest.to_bytes())
    except OSError as error:
        raise TransferError(
            f"Copying {manifest.name} to {output} failed: {error}",
            remedy="Check free space and permissions, then pull again.",
        ) from error


def _copy_file(source: Path, entry: FileEntry, staging: Path) -> None:
    target = staging / entry.path
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with (source / entry.path).open("rb") as reader, target.open("wb") as writer:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
    if digest.hexdigest() != entry.sha256:
        raise IntegrityError(
            f"{source / entry.path} has sha256 {digest.hexdigest()}, the manifest says "
            f"{entry.sha256}",
            remedy="The stored file is damaged; publish the artifact again from its origin.",
        )
