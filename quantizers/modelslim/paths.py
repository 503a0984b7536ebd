"""Paths that ModelSlim takes: letters, digits, `_`, `.`, `/` and `-` only, links resolved.

A source elsewhere is shown to it through hard links in the job's folder; nothing is copied but what
is small, and nothing of the source is changed.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from registry.errors import IncompatibleError
from registry.folder import list_files

_TAKEN = re.compile(r"[_A-Za-z0-9/.-]+\Z")
_SMALL = 64 * 2**20  # bytes; a file up to this is copied where it cannot be linked
_CHARACTERS = "letters, digits, '_', '.', '/' and '-'"


def is_taken(path: Path) -> bool:
    """Whether ModelSlim takes a path."""
    return bool(_TAKEN.match(str(path.absolute())) and _TAKEN.match(str(path.resolve())))


def check_writable_paths(output: Path, work: Path) -> None:
    """The folders that are written to have paths that it takes; raises IncompatibleError."""
    if not is_taken(output.parent) or not _TAKEN.match(output.name):
        raise IncompatibleError(
            f"ModelSlim cannot write to {output}: it takes paths of {_CHARACTERS} only",
            remedy="Name another --output.",
        )
    if not is_taken(work):
        raise IncompatibleError(
            f"ModelSlim cannot read {work}: it takes paths of {_CHARACTERS} only",
            remedy="Set TMPDIR to a folder with such a path.",
        )


def source_for_modelslim(source: Path, work: Path) -> Path:
    """The source under a path that ModelSlim takes.

    Args:
        source: the model's folder.
        work: of the job; hard links go there if need be.

    Raises:
        IncompatibleError: the path is not taken, and links to it cannot be made.
    """
    files = list_files(source, follow_outside=True)
    # Links are resolved file by file, so that each real path counts, as in a cache of blobs.
    if is_taken(source) and all(is_taken(source / path) for path in files):
        return source
    shown = work / "source"
    for path, size in files.items():
        target = shown / path
        if not _TAKEN.match(path):
            continue  # no file that loading needs has such a name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link((source / path).resolve(), target)
        except OSError as error:
            if size > _SMALL:
                raise IncompatibleError(
                    f"ModelSlim takes paths of {_CHARACTERS} only, which {source} is not, and "
                    f"its files cannot be linked below {work}: {error.strerror}",
                    remedy="Rename the folder, or set TMPDIR to a folder on the same disk.",
                ) from error
            shutil.copyfile(source / path, target)
    return shown
