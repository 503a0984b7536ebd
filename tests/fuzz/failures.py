"""What went wrong for which input: one file a kind of failure, with the shortest input seen."""

from __future__ import annotations

import hashlib
import traceback
from pathlib import Path

MOST = 100  # kinds; a run with more of them says nothing new


class Failures:
    """Keeps failures in a folder, as `KIND.input` with its traceback in `KIND.txt`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shortest: dict[str, int] = {}

    def add(self, error: BaseException, data: bytes) -> None:
        """Keep an input, unless a shorter one failed at the same place."""
        kind = _kind(error)
        known = self._shortest.get(kind)
        if (known is None and len(self._shortest) < MOST) or (known or 0) > len(data):
            self._shortest[kind] = len(data)
            stem = f"{type(error).__name__}-{hashlib.sha256(kind.encode()).hexdigest()[:8]}"
            (self._folder / f"{stem}.input").write_bytes(data)
            text = "".join(traceback.format_exception(error, limit=-12))
            (self._folder / f"{stem}.txt").write_text(
                f"{kind}\n\n{text[-8000:]}", errors="backslashreplace"
            )


def found(folder: Path) -> dict[str, str]:
    """The kinds of failures that a folder keeps, by the name of their input's file."""
    result = {
        path.with_suffix(".input").name: path.read_text().partition("\n")[0]
        for path in sorted(folder.glob("*.txt"))
    }
    # What ends the process at once is written down by libFuzzer itself.
    for prefix in ("timeout-", "oom-", "crash-", "slow-unit-"):
        for path in sorted(folder.glob(f"{prefix}*")):
            result[path.name] = prefix.rstrip("-")
    return result


def _kind(error: BaseException) -> str:
    """Type and place: the innermost line of ours for an error, the first line of a violation."""
    ours = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "/registry/" in frame.filename
    ]
    if isinstance(error, AssertionError) or not ours:
        return f"{type(error).__name__}: {str(error).partition(chr(10))[0][:80]}"
    place = f"registry/{ours[-1].filename.rpartition('/registry/')[2]}:{ours[-1].lineno}"
    return f"{type(error).__name__} at {place}"
