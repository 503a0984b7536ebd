"""Removing what a dead process left half made, and nothing else.

A record names paths. They are removed only where qreg makes such things, under its names, and
where they are this user's.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock, Timeout

from registry.files import remove_tree
from registry.staging import lock_of, partial_of

WORK = "qreg-quantize-"  # how folders of work in the folder for temporary files begin


def remove_scratch(paths: Iterable[Path]) -> list[Path]:
    """Remove what is provably qreg's and this user's.

    Returns:
        What is still there.
    """
    for path in paths:
        if not _is_ours(path):
            continue
        target = _target_of(path)
        if target is not None:
            _remove_staged(target)
        elif path.name.startswith(WORK) and path.parent == Path(tempfile.gettempdir()):
            remove_tree(path)
    return [path for path in paths if os.path.lexists(path)]


def _is_ours(path: Path) -> bool:
    """Whether a path is a file or folder of this user, and no link to something else."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return path.is_absolute() and found.st_uid == os.getuid() and not path.is_symlink()


def _target_of(path: Path) -> Path | None:
    """What was staged under a name of `registry.staging`; None for any other name."""
    name = path.name.removeprefix(".").rpartition(".qreg-")[0]
    target = path.parent / name
    return target if name and path in (partial_of(target), lock_of(target)) else None


def _remove_staged(target: Path) -> None:
    """Remove a folder that was being built, unless another process builds it now."""
    lock = FileLock(lock_of(target))
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return
    try:
        partial = partial_of(target)
        if _is_ours(partial):
            remove_tree(partial)
    finally:
        lock_of(target).unlink(missing_ok=True)
        lock.release()
