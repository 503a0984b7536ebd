"""What was observed of an artifact: a file a digest in the data folder, a line each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from registry.artifact import Digest
from registry.config import Settings

# Files that are looked through for what other artifacts showed, the newest first.
_MOST_FILES = 200
# A line of a launch has some KiB; a file that grew beyond this is read from its end.
_MOST_BYTES = 4 * 2**20


def record_evidence(settings: Settings, digest: Digest, entry: Mapping[str, Any]) -> None:
    """Append what was observed; it counts for this digest alone.

    Args:
        settings: name the data folder.
        digest: of the artifact's payload.
        entry: with `kind` and `time`, JSON all through.

    Raises:
        OSError: the data folder cannot be written to.
    """
    path = settings.data / "evidence" / f"{digest.hex}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    line = f"{json.dumps(entry, ensure_ascii=False)}\n".encode(errors="replace")
    # A line that a crash cut off must not swallow this one.
    with path.open("ab", buffering=0) as file:
        file.write(line if _ends_whole(path) else b"\n" + line)


def read_evidence(settings: Settings, digest: Digest) -> tuple[Mapping[str, Any], ...]:
    """What is on record of an artifact, oldest first; damaged lines are left out."""
    return tuple(_entries(settings.data / "evidence" / f"{digest.hex}.jsonl"))


def read_all_evidence(settings: Settings) -> Iterator[Mapping[str, Any]]:
    """What is on record of all artifacts; of those observed last, where there are very many."""
    folder = settings.data / "evidence"
    files = sorted(folder.glob("*.jsonl"), key=_age, reverse=True)
    for path in files[:_MOST_FILES]:
        yield from _entries(path)


def _entries(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            file.seek(max(0, size - _MOST_BYTES))
            lines = file.read().split(b"\n")
    except OSError:
        return
    for line in lines:
        try:
            entry = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict):
            yield entry


def _ends_whole(path: Path) -> bool:
    """Whether a file is empty or its last line has an end."""
    with path.open("rb") as file:
        if not file.seek(0, 2):
            return True
        file.seek(-1, 2)
        return file.read() == b"\n"


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
