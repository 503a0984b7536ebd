"""Building a folder so that it appears whole or not at all, and leftovers of the dead go away."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from registry.errors import IntegrityError, UsageError
from registry.files import make_folder, remove_tree, sync_folder, sync_tree


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target`; rename it to `target` when the block ends well.

    When `target` is there, all of it is on the disk.

    A lock that dies with its process guards the target, so that a second writer is refused and
    what an earlier, killed one left is removed.

    Raises:
        UsageError: `target` is a file or holds something, or another process is building it.
    """
    target = require_fresh(target).absolute().resolve()
    partial = partial_of(target)
    make_folder(target.parent)
    lock = FileLock(lock_of(target))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UsageError(
            f"Another qreg is writing {target} right now",
            remedy="Wait for it, or name another folder.",
        ) from error
    try:
        remove_tree(partial)
        partial.mkdir()
        yield partial
        require_fresh(target)
        if target.exists():
            target.rmdir()
        sync_tree(partial)
        os.rename(partial, target)
        sync_folder(target.parent)
    finally:
        remove_tree(partial)
        lock_of(target).unlink(missing_ok=True)
        lock.release()


def require_unused(target: Path) -> None:
    """Raise IntegrityError if a new file's name finds another file of the same artifact.

    File systems that do not tell case, or forms of Unicode, apart would keep one of the two.
    """
    if os.path.lexists(target):
        raise IntegrityError(
            f"{target.name} and another file of the artifact have one name on this file system",
            remedy="Write it to a file system that tells upper and lower case apart.",
        )


def lock_of(target: Path) -> Path:
    """The lock that guards a target, beside it, where all who share the disk see it."""
    return target.parent / f".{target.name}.qreg-lock"


def partial_of(target: Path) -> Path:
    """Where `staged_folder` builds a target."""
    return target.parent / f".{target.name}.qreg-partial"


def require_fresh(target: Path) -> Path:
    """Return `target` if it is new or an empty folder, and not inside a model or a registry.

    Raises:
        UsageError: it is a file, holds something, or would add files to what others verify.
    """
    for parent in target.absolute().resolve().parents:
        weights = (parent / "config.json").is_file() and any(parent.glob("*.safetensors"))
        if weights or (parent / "qreg.json").is_file() or (parent / "qreg-store.json").is_file():
            raise UsageError(
                f"The output folder {target} lies inside {parent}, a model or a registry",
                remedy="Name a folder outside it.",
            )
        if parent.exists() and not parent.is_dir():
            raise UsageError(
                f"{parent}, above the output {target}, is a file", remedy="Name another folder."
            )
    if os.path.ismount(target):
        raise UsageError(
            f"The output folder {target} is a mount point, which nothing can be renamed to",
            remedy="Name a new folder inside it.",
        )
    if target.is_dir():
        if any(target.iterdir()):
            raise UsageError(
                f"The output folder {target} is not empty",
                remedy="Name a new folder; qreg never overwrites what is there.",
            )
    elif target.exists():
        raise UsageError(f"The output {target} is a file", remedy="Name a new folder.")
    return target
