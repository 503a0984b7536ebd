"""The digest of an artifact from a store's listing, without moving its weights."""

from __future__ import annotations

import hashlib

from registry.artifact import (
    MANIFEST_FILE,
    Digest,
    FileEntry,
    Manifest,
    is_payload,
    payload_digest,
)
from registry.checkpoint import Source
from registry.errors import IncompatibleError, QregError
from registry.folder import Entry

# Hubs know the sha256 of large files; small ones are read, as there is no other way.
MAX_MANIFEST = 256 * 2**20  # bytes
MAX_READ = 16 * 2**20  # bytes; Hugging Face keeps larger files in LFS, with their sha256


def listed_files(source: Source) -> tuple[FileEntry, ...] | None:
    """All payload files with their sha256, as far as that takes reading small files only.

    Returns:
        None if the source does not know the sha256 of a large file, or lists a bad one.
    """
    entries = [entry for entry in source.entries() if is_payload(entry.path)]
    if any(entry.problem or not _is_cheap(entry) for entry in entries):
        return None
    if source.folder is not None and not all(entry.sha256 for entry in entries):
        return None  # a folder knows no sha256; whoever wants its digest has it hashed
    return tuple(FileEntry(e.path, e.size, e.sha256 or _sha256(source, e)) for e in entries)


def require_digest(source: Source) -> Digest:
    """The digest of a remote artifact; raises IncompatibleError if its listing cannot tell."""
    files = listed_files(source)
    if files is None:
        raise IncompatibleError(
            f"The digest of {source.label} cannot be told without reading its weights",
            remedy="Pull it without the pin into a folder and verify that.",
        )
    return payload_digest(files)


def _is_cheap(entry: Entry) -> bool:
    return entry.sha256 is not None or entry.size <= MAX_READ


def _sha256(source: Source, entry: Entry) -> str:
    return hashlib.sha256(source.read(entry.path, 0, entry.size)).hexdigest()


def carried_manifest(source: Source) -> Manifest | None:
    """The qreg.json that an artifact carries; None if there is none that can be read."""
    size = next((e.size for e in source.entries() if e.path == MANIFEST_FILE and not e.problem), 0)
    if not 0 < size <= MAX_MANIFEST:
        return None
    try:
        return Manifest.from_bytes(source.read(MANIFEST_FILE, 0, size))
    except QregError:
        return None


def known_contents(source: Source) -> dict[str, tuple[int, str | None]]:
    """Size and sha256 of each payload file, from the listing, qreg.json, or by reading small ones.

    What qreg.json says counts only where it lists exactly the files and sizes that are there.
    """
    entries = [e for e in source.entries() if is_payload(e.path) and not e.problem]
    carried = carried_manifest(source)
    listed = {e.path: e for e in carried.files if is_payload(e.path)} if carried else {}
    if {path: e.size for path, e in listed.items()} != {e.path: e.size for e in entries}:
        listed = {}
    known = {}
    for entry in entries:
        sha256 = entry.sha256 or (listed[entry.path].sha256 if listed else None)
        if sha256 is None and entry.size <= MAX_READ:
            sha256 = _sha256(source, entry)
        known[entry.path] = (entry.size, sha256)
    return known
