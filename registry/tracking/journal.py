"""The journal of one tracked activity: an append-only list of operations, and copies of its files.

ACTIVITY/activity.json    kind, experiment, run name, tags, scratch folders, for which MLflow, and
                          which data folder made it
ACTIVITY/lock             held as long as the process that writes lives
ACTIVITY/sending          held by the one process that sends it
ACTIVITY/journal.jsonl    one operation a line
ACTIVITY/files/           artifacts to send
ACTIVITY/sent.json        how far MLflow has it, and under which ids
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from registry.config import Settings
from registry.files import remove_tree, write_atomically
from registry.tracking.maker import Kinship, Maker

FINISHED, FAILED, KILLED = "FINISHED", "FAILED", "KILLED"
RUN, PUBLICATION, EVIDENCE = "run", "publication", "evidence"


class Journal:
    """Reads and appends one activity's operations."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = FileLock(folder / "lock")
        self._sending = FileLock(folder / "sending")

    @classmethod
    def create(cls, settings: Settings, header: Mapping[str, Any]) -> Journal:
        """Start an activity, locked by this process.

        Args:
            settings: where activities are kept.
            header: `kind`, `experiment`, `run_name`, `tags`, `scratch` (folders to remove if this
                process dies).
        """
        identity = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}"
        # The folder appears with its lock held, so that no other command takes it for a dead one.
        hidden = settings.activities / f".{identity}"
        (hidden / "files").mkdir(parents=True)
        journal = cls(hidden)
        journal._lock.acquire(timeout=0)
        content = {
            **header,
            "id": identity,
            "started": now_ms(),
            "mlflow": _address(settings),
            "maker": Maker.here(settings.data).to_json(),
        }
        write_atomically(hidden / "activity.json", json.dumps(content).encode())
        os.rename(hidden, settings.activities / identity)
        found = cls(settings.activities / identity)
        found._lock = journal._lock
        return found

    @property
    def header(self) -> dict[str, Any]:
        """What `create` was given, with `id` and `started` (milliseconds since 1970)."""
        value: dict[str, Any] = json.loads((self.folder / "activity.json").read_text())
        return value

    def meant_for(self, settings: Settings) -> bool:
        """Whether the MLflow of the settings is the one that it was recorded for."""
        recorded = self.header.get("mlflow")
        return recorded is None or recorded == _address(settings)

    def kinship(self, settings: Settings) -> Kinship:
        """Whether the data folder of the settings made it, or one that this is a copy of."""
        return Maker.here(settings.data).kinship(self.header.get("maker"))

    @property
    def readable(self) -> bool:
        """Whether its header is whole; a damaged disk must not stop every command."""
        try:
            return {"kind", "id", "started"} <= self.header.keys()
        except (OSError, ValueError):
            return False

    def take_over(self, wait: float = 0.0) -> bool:
        """Lock an activity whose process is dead; False while it lives, or when it just ended.

        Args:
            wait: seconds for a process that has it to end.
        """
        return self._take(self._lock, wait)

    def take_sending(self, wait: float = 0.0) -> bool:
        """Become the one that sends it; False while another process does, or when it has done so.

        Args:
            wait: seconds for a process that sends it.
        """
        return self._take(self._sending, wait)

    def _take(self, lock: FileLock, wait: float) -> bool:
        try:
            lock.acquire(timeout=wait)
        except (Timeout, OSError):
            return False
        if (self.folder / "activity.json").is_file():
            return True
        lock.release()
        with contextlib.suppress(OSError):  # locking made the folder anew
            Path(lock.lock_file).unlink()
            self.folder.rmdir()
        return False

    def release(self) -> None:
        """Give the locks back."""
        self._sending.release()
        self._lock.release()

    @property
    def attempted(self) -> float:
        """When it was last tried to send it, in seconds since 1970; 0 if never."""
        try:
            return (self.folder / "attempted").stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def note_attempt(self) -> None:
        """Note that it is tried to send it now; other commands leave it alone for a while."""
        (self.folder / "attempted").touch()

    def append(self, op: str, **fields: Any) -> None:
        """Add an operation; it is on disk when this returns."""
        line = json.dumps({"op": op, "time": now_ms(), **fields})
        with (self.folder / "journal.jsonl").open("ab") as file:
            # The newline comes first, too: a line that a crash cut off must not swallow this one.
            file.write(f"\n{line}\n".encode())
            file.flush()
            os.fsync(file.fileno())

    def keep(self, source: Path, name: str) -> str:
        """Copy a file into the activity; returns its path below `files`."""
        target = self.folder / "files" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        return name

    def operations(self) -> list[dict[str, Any]]:
        """All whole lines; one that a crash cut off is left out."""
        path = self.folder / "journal.jsonl"
        lines = path.read_bytes().split(b"\n") if path.is_file() else []
        found = []
        for line in lines:
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return found

    def sent(self) -> dict[str, Any]:
        """What MLflow has: `offset` (operations), `run_id`, `experiment_id`, …"""
        try:
            value: dict[str, Any] = json.loads((self.folder / "sent.json").read_text())
        except FileNotFoundError:
            value = {"offset": 0}
        return value

    def mark_sent(self, state: Mapping[str, Any]) -> None:
        """Remember what MLflow has."""
        write_atomically(self.folder / "sent.json", json.dumps(dict(state)).encode())

    def discard(self) -> None:
        """Remove the activity; MLflow has all of it."""
        remove_tree(self.folder)
        self.release()


def journals(settings: Settings) -> list[Journal]:
    """All activities that MLflow does not have in full, oldest first."""
    if not settings.activities.is_dir():
        return []
    return [
        Journal(path)
        for path in sorted(settings.activities.iterdir())
        if not path.name.startswith(".") and (path / "activity.json").is_file()
    ]


def _address(settings: Settings) -> str:
    """Which MLflow a record is for; empty for the one in the data folder, wherever that lies."""
    return "" if settings.embedded_tracking else settings.tracking_label


def now_ms() -> int:
    """Milliseconds since 1970, as MLflow counts."""
    return int(time.time() * 1000)
