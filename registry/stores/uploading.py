"""Many uploads at once, told as one progress, and ended together when one fails."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Lock

from registry.artifact import FileEntry
from registry.errors import IntegrityError, TransferError
from registry.progress import Observer, Progress

WORKERS = 4


class Stopped(TransferError):
    """An upload ended because another one failed, and what that failed with is to be told."""


class Tally:
    """Adds up the bytes of uploads.

    Args:
        total: bytes of all files, also of those that need no upload.
        observe: is told.
    """

    def __init__(self, total: int, observe: Observer) -> None:
        self.total, self.done = total, 0
        self._observe = observe
        self._lock = Lock()
        self._stopped = False

    def of(self, path: str, size: int) -> Callable[[int], None]:
        """Told the bytes of one file as they go out; negative ones take some back."""
        sent = 0

        def told(count: int) -> None:
            nonlocal sent
            with self._lock:
                if self._stopped and count > 0:
                    raise Stopped(f"The upload of {path} was stopped")
                sent += count
                self.done += count
                done = self.done
            event = Progress("publishing", done, self.total, "bytes", path, sent, size)
            self._observe(event)

        return told

    def show(self, observe: Observer) -> None:
        """Tell another observer from now on."""
        self._observe = observe

    def stop(self) -> None:
        """End uploads at their next piece."""
        self._stopped = True


def upload_all(jobs: Sequence[Callable[[], None]], tally: Tally, workers: int = WORKERS) -> None:
    """Run uploads in parallel; the first failure ends them all and is raised."""
    if not jobs:
        return
    with ThreadPoolExecutor(max_workers=min(workers, len(jobs))) as pool:
        settle([pool.submit(job) for job in jobs], tally)


def settle(uploads: Sequence[Future[None]], tally: Tally) -> None:
    """Wait for uploads; the first failure ends the others and is raised."""
    pending, stopped = set(uploads), None
    try:
        while pending:  # in slices, so that signals are handled
            done, pending = wait(pending, timeout=0.2, return_when=FIRST_EXCEPTION)
            for future in done:
                try:
                    future.result()
                except Stopped as error:
                    stopped = error  # its cause is another upload's
        if stopped is not None:
            raise stopped
    except BaseException:
        tally.stop()
        for future in uploads:
            future.cancel()
        raise


def content_of(entry: FileEntry, file: Path) -> bytes:
    """A small file to be sent; raises IntegrityError if it is not what was hashed before."""
    content = file.read_bytes()
    require_unchanged(file, hashlib.sha256(content).hexdigest(), entry.sha256)
    return content


def require_unchanged(file: Path, found: str, expected: str) -> None:
    """Raise IntegrityError if the sha256 of what was read of a file is not what was hashed."""
    if found != expected:
        raise IntegrityError(
            f"{file} changed while it was published: its sha256 is {found}, the manifest says "
            f"{expected}",
            remedy="Let whatever writes to the folder finish, then publish again.",
        )
