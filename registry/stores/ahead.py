"""Sending the large files of an artifact while the others are still hashed.

A hub keeps contents by their sha256, so each file can go as soon as its own is known; what the
artifact is, and whether it is published at all, is decided afterwards by the commit. Contents that
no commit names are nothing to anybody.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from registry.artifact import FileEntry
from registry.progress import Observer, ignore
from registry.stores.uploading import WORKERS, Tally, settle

LARGE = 10 * 2**20  # bytes; hubs keep larger files in LFS, whatever their names
Send = Callable[[FileEntry, Path, Tally], None]


class Ahead:
    """Uploads to one store that have begun.

    Args:
        send: sends one file, unless the store has its content.
        total: bytes of all files, for whoever watches.
    """

    def __init__(self, send: Send, total: int) -> None:
        self._send = send
        self._tally = Tally(total, ignore)
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="ahead")
        self._sending: dict[str, Future[None]] = {}

    def offer(self, entry: FileEntry, file: Path) -> None:
        """Begin to send a file, if that is worth it; returns at once."""
        if entry.size > LARGE and entry.sha256 not in self._sending:
            self._sending[entry.sha256] = self._pool.submit(self._send, entry, file, self._tally)

    def finish(self, observe: Observer) -> None:
        """Wait until all is sent; raises what the first upload failed with."""
        self._tally.show(observe)
        try:
            settle(list(self._sending.values()), self._tally)
        finally:
            self.stop()

    def stop(self) -> None:
        """End what is under way at its next piece, and begin nothing more."""
        self._tally.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
