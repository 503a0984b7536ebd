"""Folders that are being built inside a registry, each locked; those of the dead are removed."""

from __future__ import annotations

import fcntl
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from registry.files import remove_tree, require_no_links

_YOUNG = 5.0  # seconds between a file's making and its locking, generously
_RESUMED = 7 * 24 * 3600  # seconds in which a client goes on with an upload in parts


class StagingArea:
    """`ROOT/staging` and what publishers leave in `ROOT/partial`.

    Args:
        root: of the registry.
        guard: name of the lock file in it.
    """

    def __init__(self, root: Path, guard: str) -> None:
        self.root, self._guard = root, guard

    @contextmanager
    def new(self) -> Iterator[Path]:
        """A new, empty folder, removed after the block if it is still there."""
        stage = self.root / "staging" / uuid.uuid4().hex
        require_no_links(self.root, stage.parent)
        stage.parent.mkdir(exist_ok=True)
        lock = FileLock(f"{stage}.lock")
        with self.guard():  # or a cleaner could take the lock between its making and its locking
            lock.acquire()
        try:
            stage.mkdir()
            yield stage
        finally:
            _discard(stage)
            lock.release()

    def clean(self) -> None:
        """Remove what publishers left that died; the lock of a living one is held."""
        for folder in ("staging", "partial", "blobs"):
            require_no_links(self.root, self.root / folder)
        with self.guard():
            for lock_file in (self.root / "staging").glob("*.lock"):
                try:
                    with FileLock(lock_file, timeout=0):
                        _discard(lock_file.with_suffix(""))
                except Timeout:
                    continue
        for taken in (self.root / "partial").glob("take-*"):
            _remove_abandoned(taken, _YOUNG)
        for parts in (self.root / "partial").glob("upload-*"):
            _remove_abandoned(parts, _RESUMED)

    def guard(self) -> FileLock:
        """Held for a moment by whoever makes or cleans what others could mistake for leftovers."""
        self.root.mkdir(parents=True, exist_ok=True)
        return FileLock(self.root / self._guard)


def _remove_abandoned(path: Path, age: float) -> None:
    """Remove a file of so many seconds unless its writer lives: that one holds its lock."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # gone, or not ours to read
        return
    try:
        if time.time() - os.fstat(handle).st_ctime > age:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
    except BlockingIOError:
        pass  # its writer lives
    finally:
        os.close(handle)


def _discard(stage: Path) -> None:
    remove_tree(stage)
    stage.with_name(f"{stage.name}.lock").unlink(missing_ok=True)
