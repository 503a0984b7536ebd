"""Small, careful file operations that more than one store or journal needs."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from registry.errors import TransferError

_CHUNK = 8 * 2**20


def write_atomically(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a whole file so that a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def sync_folder(path: Path) -> None:
    """Make renames inside a folder durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_tree(path: Path) -> None:
    """Remove a folder of ours, read-only files included; a missing one is no error."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


def copy_file(source: Path, target: Path, tell: Callable[[int], None] | None = None) -> str:
    """Copy one file, readable for all; return the sha256 of its content.

    Args:
        source, target: files.
        tell: is told the bytes copied so far.
    """
    digest, copied = hashlib.sha256(), 0
    with source.open("rb") as reader, target.open("wb") as writer:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
            copied += len(chunk)
            if tell is not None:
                tell(copied)
    target.chmod(0o644)
    return digest.hexdigest()


def require_room(output: Path, needed: int, what: str) -> None:
    """Raise TransferError if a disk has less free than what will be written.

    Args:
        output: where it will lie; it need not be there yet.
        needed: bytes.
        what: will be written, for the message.
    """
    existing = next(parent for parent in output.absolute().parents if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise TransferError(
            f"{what} takes {needed:,} bytes, {existing} has {free:,} free",
            remedy="Name a folder on a larger disk.",
        )
