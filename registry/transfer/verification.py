"""Verifying: every file's sha256 against the manifest, remembered until a file changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.artifact import MANIFEST_FILE, FileEntry, Manifest, is_payload
from registry.clock import boot_id
from registry.config import Settings
from registry.errors import IntegrityError
from registry.files import write_atomically
from registry.folder import hash_files, list_files
from registry.progress import Observer, ignore


@dataclass(frozen=True)
class Verification:
    """The outcome of comparing a folder with a manifest.

    Attributes:
        files: how many files were compared.
        bytes: how many bytes they have.
        faults: one sentence for each file that is missing, changed or not listed.
    """

    files: int
    bytes: int
    faults: tuple[str, ...]


def verify(folder: Path, manifest: Manifest, observe: Observer = ignore) -> Verification:
    """Compare every file of a folder with the manifest; every byte is read."""
    paths = [p for p in list_files(folder, follow_outside=True) if p != MANIFEST_FILE]
    return compare(hash_files(folder, paths, observe, stage="verifying"), manifest)


def compare(found: Iterable[FileEntry], manifest: Manifest) -> Verification:
    """Compare files that were just hashed with the manifest."""
    present = {entry.path: entry for entry in found}
    listed = {entry.path: entry for entry in manifest.files}
    faults = [f"{path}: missing" for path in listed if path not in present]
    for path, entry in present.items():
        expected = listed.get(path)
        if expected is None:
            if is_payload(path):
                faults.append(f"{path}: not in the manifest")
        elif entry.size != expected.size:
            faults.append(f"{path}: has {entry.size} bytes, the manifest says {expected.size}")
        elif entry.sha256 != expected.sha256:
            faults.append(f"{path}: its content has changed (sha256 {entry.sha256[:12]}…)")
    return Verification(len(listed), manifest.size, tuple(faults))


def check_files(
    folder: Path, manifest: Manifest, settings: Settings, observe: Observer = ignore
) -> None:
    """Verify a folder unless that was done and no file has changed since.

    Raises:
        IntegrityError: with every fault in its details.
    """
    state = _state(folder, manifest)
    try:
        if json.loads(_mark(folder, settings).read_text()) == state:
            return
    except (OSError, ValueError):
        pass  # never verified, or the mark is damaged: verify
    raise_faults(folder, verify(folder, manifest, observe))
    write_atomically(_mark(folder, settings), json.dumps(state).encode())


def remember_verified(folder: Path, manifest: Manifest, settings: Settings) -> None:
    """Note that every file of a folder was just checked, on its way there."""
    write_atomically(_mark(folder, settings), json.dumps(_state(folder, manifest)).encode())


def _mark(folder: Path, settings: Settings) -> Path:
    name = hashlib.sha256(str(folder.resolve()).encode(errors="surrogateescape")).hexdigest()
    return settings.cache / "verified" / f"{name}.json"


def _state(folder: Path, manifest: Manifest) -> dict[str, Any]:
    where = str(folder.resolve())
    # What was written before the machine last started may have been cut by its crash.
    return {
        "folder": where,
        "digest": str(manifest.digest),
        "boot": boot_id(),
        "files": _stamps(folder),
    }


def raise_faults(folder: Path, verification: Verification) -> None:
    """Raise IntegrityError if a verification found faults."""
    if verification.faults:
        raise IntegrityError(
            f"{folder} is not what its manifest says: {verification.faults[0]}",
            remedy="Do not serve this copy: pull it again, or publish the intact origin again, "
            "which mends a registry. If the change was meant, publish with --describe-anew .",
            details="\n".join(verification.faults),
        )


def _stamps(folder: Path) -> dict[str, list[int]]:
    """What changes when a file does, for every file that is there: also for one that is new."""
    stats = {path: (folder / path).stat() for path in list_files(folder, follow_outside=True)}
    return {path: [s.st_ino, s.st_size, s.st_mtime_ns] for path, s in stats.items()}
