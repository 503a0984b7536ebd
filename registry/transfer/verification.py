"""Verifying: every file's sha256 against the manifest, remembered until a file changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from registry.artifact import FileEntry, Manifest
from registry.config import Settings
from registry.errors import IntegrityError
from registry.files import read_own, write_atomically
from registry.folder import hash_files, list_files, scan_folder, sizes_of
from registry.payload import MANIFEST_FILE, is_payload
from registry.progress import Observer, ignore
from registry.stores.hashed import Hashed, stamp
from registry.stores.local_marker import registry_of


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
    stored = registry_of(folder) is not None
    files = _files(folder, stored)
    hashed = hash_files(folder, files, observe, stage="verifying", stored=stored)
    return compare(hashed, manifest)


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
    """Verify a folder: files that were hashed and have not changed since are not read again.

    Raises:
        IntegrityError: with every fault in its details.
    """
    registry = registry_of(folder)
    stored, ledger = registry is not None, Hashed(registry) if registry else None
    listed = {entry.path: entry for entry in manifest.files}
    known, mark = _recall(folder, manifest, settings), dict[str, list[int]]()
    found, unread = list[FileEntry](), []
    for path in _files(folder, stored):
        status = (folder / path).stat()
        mark[path] = stamp(status)
        entry = listed.get(path)
        hashed = known.get(path) == mark[path] or (
            ledger is not None and entry is not None and ledger.knows(entry.sha256, status)
        )
        if entry is not None and hashed:
            found.append(replace(entry, size=status.st_size))
        else:
            unread.append(path)
    found += hash_files(folder, unread, observe, stage="verifying", stored=stored)
    verification = compare(found, manifest)
    if verification.faults and ledger is not None:
        for entry in set(manifest.files) - set(found):
            ledger.forget(entry.sha256)
    raise_faults(folder, verification)
    if mark != known:
        state = {"folder": str(folder.resolve()), "digest": str(manifest.digest), "files": mark}
        content = json.dumps(state).encode()
        write_atomically(_mark(folder, settings), content, mode=0o600, durable=False)


def _recall(folder: Path, manifest: Manifest, settings: Settings) -> dict[str, list[int]]:
    """The stamps that files had when the folder was verified last; empty if it never was."""
    try:
        state = json.loads(read_own(_mark(folder, settings)) or b"null")
        if (state["folder"], state["digest"]) == (str(folder.resolve()), str(manifest.digest)):
            return dict(state["files"])
    except (ValueError, KeyError, TypeError):
        pass  # never verified, or the mark is damaged
    return {}


def _files(folder: Path, stored: bool) -> list[str]:
    """The files of a folder that are verified; in a registry, none may be a link."""
    if not stored:
        return [path for path in list_files(folder, follow_outside=True) if path != MANIFEST_FILE]
    entries = list(scan_folder(folder))
    link = next((entry for entry in entries if entry.link is not None), None)
    if link is not None:
        raise IntegrityError(
            f"{folder / link.path} is a link to {link.link}; a registry stores none",
            remedy="Find out who put it there, then publish the intact origin again.",
        )
    return [path for path in sizes_of(entries) if path != MANIFEST_FILE]


def _mark(folder: Path, settings: Settings) -> Path:
    name = hashlib.sha256(str(folder.resolve()).encode(errors="surrogateescape")).hexdigest()
    return settings.cache / "verified" / f"{name}.json"


def raise_faults(folder: Path, verification: Verification) -> None:
    """Raise IntegrityError if a verification found faults."""
    if verification.faults:
        raise IntegrityError(
            f"{folder} is not what its manifest says: {verification.faults[0]}",
            remedy="Do not serve this copy: pull it again, or publish the intact origin again, "
            "which mends a registry. If the change was meant, publish with --describe-anew .",
            details="\n".join(verification.faults),
        )
