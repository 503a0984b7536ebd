"""Freeing contents that nobody names any more."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from registry.stores.blobs import Blobs
from registry.stores.receiving import MARKS


def collect(
    blobs: Blobs,
    *,
    older_than: float = 0.0,
    going: Mapping[int, int] | None = None,
    named: Callable[[], Container[str]] = tuple,
    unnamed_for: float = 0.0,
) -> int | None:
    """Remove contents that no folder links to, and what nobody has gone on to receive.

    Args:
        blobs: the contents.
        older_than: seconds that an unfinished content must not have grown.
        going: only say what would be freed, without so many links to each inode.
        named: tells the contents, by their sha256, that stay though no folder links to them; it is
            asked while nobody receives, links or commits.
        unnamed_for: seconds since a content came, or was last renewed or linked to.

    Returns:
        Bytes that were freed; None if others are receiving right now.
    """
    freed, dry = 0, going is not None
    try:
        with blobs.alone():
            kept = named()
            for path, stat in _loose(blobs, going or {}):
                if path.name not in kept and time.time() - stat.st_ctime >= unnamed_for:
                    freed += _remove(path, stat.st_size, dry)
            for path in sorted((blobs.root / "partial").glob("*")):
                with suppress(FileNotFoundError):  # it went with the content that it belongs to
                    stat = path.stat()
                    if time.time() - stat.st_mtime >= older_than and not _is_written_to(path):
                        freed += _remove(path, stat.st_blocks * 512, dry)
            if not dry:
                _forget(blobs)
    except BlockingIOError:
        return None
    return freed


def _loose(blobs: Blobs, going: Mapping[int, int]) -> Iterator[tuple[Path, os.stat_result]]:
    """Contents that no folder links to."""
    for path in blobs.all():
        stat = path.stat()
        if stat.st_nlink - going.get(stat.st_ino, 0) == 1:
            yield path, stat


def _is_written_to(path: Path) -> bool:
    """Whether somebody is sending or receiving a content: whoever does holds its lock."""
    path = path.with_name(path.name.removesuffix(MARKS))
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:  # gone, or not ours to read: its owner cleans it
        return path.exists()
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _forget(blobs: Blobs) -> None:
    """Remove notes on contents that are gone."""
    for note in (blobs.root / "hashed").glob("??/*"):
        sha256 = note.name.partition(".")[0]
        if not os.path.lexists(blobs.path(sha256)):
            blobs.hashed.forget(sha256)


def _remove(path: Path, size: int, dry: bool) -> int:
    """Remove a file unless that is only to be told of; the bytes that it takes."""
    if not dry:
        path.unlink(missing_ok=True)
    return size
