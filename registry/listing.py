"""The digest of an artifact from a store's listing, without moving its weights."""

from __future__ import annotations

import hashlib

from registry.artifact import FileEntry, Manifest
from registry.errors import IncompatibleError, IntegrityError, UsageError
from registry.folder import Entry, git_sha1
from registry.names import folders_above
from registry.payload import MANIFEST_FILE, is_kept, is_payload, require_no_repository
from registry.source import Source

# Hubs know the sha256 of large files; small ones are read, as there is no other way.
MAX_MANIFEST = 256 * 2**20  # bytes
MAX_READ = 16 * 2**20  # bytes; Hugging Face keeps larger files in LFS, with their sha256


def listed_files(source: Source) -> tuple[FileEntry, ...] | None:
    """All files of an artifact with their sha256, as far as that takes reading small files only.

    What hubs leave behind is no part of it, nor is `qreg.json`.

    Returns:
        None if the source does not know the sha256 of a large file, or lists a bad one.
    """
    entries = [entry for entry in source.entries() if is_kept(entry.path)]
    if any(entry.problem or not _is_cheap(entry) for entry in entries):
        return None
    if source.folder is not None and not all(entry.sha256 for entry in entries):
        return None  # a folder knows no sha256; whoever wants its digest has it hashed
    return tuple(FileEntry(e.path, e.size, e.sha256 or _sha256(source, e)) for e in entries)


def require_files(source: Source) -> tuple[FileEntry, ...]:
    """As `listed_files`; raises IncompatibleError if the listing cannot tell."""
    files = listed_files(source)
    if files is None:
        raise IncompatibleError(
            f"The digest of {source.label} cannot be told without reading its weights",
            remedy="Download it with the hub's own tool, and publish that folder.",
        )
    return files


def check_listing(source: Source) -> None:
    """Refuse a listing that cannot be written into a folder as it is, before anything is.

    Raises:
        IntegrityError: an unsafe name, a name twice, or a file where another needs a folder.
    """
    seen: set[str] = set()
    for entry in source.entries():
        if entry.problem:
            raise IntegrityError(
                f"{source.label}: {entry.problem}", remedy="Do not use this artifact."
            )
        if entry.path in seen:
            raise IntegrityError(
                f"{source.label} lists {entry.path!r} twice", remedy="Do not use this artifact."
            )
        seen.add(entry.path)
    require_no_repository(seen)
    for path in seen:
        for above in folders_above(path):
            if above in seen or above == MANIFEST_FILE:  # which is written beside the files
                raise IntegrityError(
                    f"{source.label} lists {path!r} below a file",
                    remedy="Do not use this artifact.",
                )


def _is_cheap(entry: Entry) -> bool:
    return entry.sha256 is not None or entry.size <= MAX_READ


def _sha256(source: Source, entry: Entry) -> str:
    content = source.read(entry.path, 0, entry.size)
    if entry.git_sha1 and git_sha1(content) != entry.git_sha1:
        # Damaged on its way, most likely. A hub whose hashes are not git's is believed all the
        # same: the digest tells whether the files are those that are wanted.
        content = source.read(entry.path, 0, entry.size)
    return hashlib.sha256(content).hexdigest()


def carried_manifest(source: Source) -> Manifest | None:
    """The qreg.json that an artifact carries; None if there is none that can be read."""
    try:
        return read_carried_manifest(source)
    except (IntegrityError, IncompatibleError, UsageError):
        return None


def read_carried_manifest(source: Source) -> Manifest | None:
    """The qreg.json that an artifact carries; None if there is none.

    Raises:
        IntegrityError, UsageError: it is damaged.
        IncompatibleError: a newer qreg wrote it.
    """
    sizes = [e.size for e in source.entries() if e.path == MANIFEST_FILE and not e.problem]
    if not sizes:
        return None
    size = sizes[0]
    if size > MAX_MANIFEST:
        raise IntegrityError(f"{MANIFEST_FILE} of {source.label} has {size} bytes: too large")
    return Manifest.from_bytes(source.read(MANIFEST_FILE, 0, size))


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
