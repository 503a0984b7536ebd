"""Receiving contents: many files at once, large ones in parts, each hashed on its way.

A worker takes the parts of one file in order, so that its sha256 follows the bytes from memory.
When there are fewer files than workers, several share a file; then whoever closes a gap hashes
what lies behind it from the page cache.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait

from registry.artifact import FileEntry
from registry.errors import IntegrityError, QregError, TransferError, TransientError
from registry.progress import Note, Observer, Progress, ignore
from registry.stores import parts
from registry.stores.blobs import Blobs
from registry.transfer.incoming import PIECE, Incoming, pieces
from registry.transfer.sources import Sources

WORKERS = max(4, min(16, 2 * (os.cpu_count() or 1)))
_POLL = 0.2  # seconds between looks at what another process receives
_SAME_SOURCE = 2  # times that a source may deliver wrong contents of a file


def download(
    wanted: Sequence[FileEntry],
    sources: Sources,
    blobs: Blobs,
    *,
    workers: int = WORKERS,
    observe: Observer = ignore,
) -> None:
    """Bring contents into a folder, each checked against its sha256.

    What a killed process received is kept and used. What another process is receiving is waited
    for. A source that fails for good, or delivers other bytes, is replaced by the next one.

    Args:
        wanted: which contents, with their paths in the sources.
        sources: where they can be had, in order of preference.
        blobs: takes them.
        workers: connections at once.
        observe: is told bytes, of each file and in all.

    Raises:
        IntegrityError: no source has the right bytes.
        TransferError, NotFoundError, NotAllowedError: no source could deliver.
    """
    unique = {entry.sha256: entry for entry in wanted}
    if not unique:
        return
    work = _Work(tuple(unique.values()), sources, blobs, observe)
    work.run(max(1, workers))


class _Work:
    def __init__(
        self, wanted: Sequence[FileEntry], sources: Sources, blobs: Blobs, observe: Observer
    ) -> None:
        # Large files first: their tails would otherwise be waited for alone.
        ordered = sorted(wanted, key=lambda entry: -entry.size)
        self.files = [Incoming(entry) for entry in ordered]
        self.untouched = list(self.files)
        self.sources, self.blobs, self.observe = sources, blobs, observe
        self.total = sum(entry.size for entry in wanted)
        self.lock = threading.Condition()
        self.stopped = False
        self.shown = 0.0

    def run(self, workers: int) -> None:
        # Not a pool's threads: Python waits for those at exit, however long a socket is silent.
        futures: list[Future[None]] = []
        for _ in range(min(workers, max(len(self.files), parts.count(self.total)))):
            future: Future[None] = Future()
            threading.Thread(target=self._worker, args=(future,), daemon=True).start()
            futures.append(future)
        try:
            pending = set(futures)
            while pending:  # in slices, so that signals are handled
                done, pending = wait(pending, timeout=0.5, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            self.observe(Progress("pulling", self.total, self.total, "bytes"))
        finally:
            with self.lock:
                self.stopped = True
                self.lock.notify_all()
            self._close()

    def _close(self) -> None:
        """Release what no worker uses; a worker in a silent socket keeps its own, and ends."""
        for file in self.files:
            with file.lock:
                if file.receiving is not None and not file.workers:
                    file.receiving.close()
                    file.receiving = None

    def _worker(self, future: Future[None]) -> None:
        try:
            file: Incoming | None = None
            while (file := self._pick(file)) is not None:
                try:
                    self._serve(file)
                finally:
                    self._leave(file)
            future.set_result(None)
        except BaseException as error:  # noqa: BLE001 - raised again where the work was asked for
            future.set_exception(error)

    def _pick(self, last: Incoming | None) -> Incoming | None:
        """A file with parts to fetch: the last one, one that nobody works on, or a shared one."""
        with self.lock:
            while not self.stopped:
                chosen = last if last and last.todo else self._fresh() or self._shared()
                if chosen is not None:
                    chosen.workers += 1
                    return chosen
                if all(file.finished for file in self.files):
                    return None
                # Others finish their parts, or another process its file.
                self.lock.wait(_POLL)
        return None

    def _fresh(self) -> Incoming | None:
        """The first file that nobody has begun with, here or in another process."""
        for file in list(self.untouched):
            if self._open(file):
                self.untouched.remove(file)
                return file
            if file.finished:
                self.untouched.remove(file)
        return None

    def _shared(self) -> Incoming | None:
        """The file with the most parts to fetch for each who works on it."""
        open_ = [file for file in self.files if file.todo and file.receiving is not None]
        return max(open_, key=lambda file: len(file.todo) / (file.workers + 1), default=None)

    def _open(self, file: Incoming) -> bool:
        entry = file.entry
        if self.blobs.trusts(entry.sha256, entry.size):
            file.finished, file.done = True, entry.size
            return False
        receiving = self.blobs.receive(entry.sha256, entry.size)
        if receiving is None:
            return False
        if self.blobs.trusts(entry.sha256, entry.size):  # finished between the two looks
            receiving.drop()
            file.finished, file.done = True, entry.size
            return False
        file.begin(receiving)
        if not file.todo:  # all is there, but was not checked before its receiver died
            last = receiving.parts - 1
            file.todo = [last]
            file.there.discard(last)
            file.done -= file.span(last)[1]
        return True

    def _leave(self, file: Incoming) -> None:
        with self.lock:
            file.workers -= 1
            if file.finished or (self.stopped and not file.workers):
                with file.lock:
                    if file.receiving is not None and not file.workers:
                        file.receiving.close()
                        file.receiving = None
            self.lock.notify_all()

    def _serve(self, file: Incoming) -> None:
        """Fetch one part; whoever brings the last one checks the whole."""
        with self.lock:
            if not file.todo or self.stopped:
                return
            number = file.todo.pop(0)
        self._fetch(file, number)
        with file.lock:
            if self.stopped or file.receiving is None:
                return
            file.there.add(number)
            file.receiving.mark(number)
            self._hash_on(file)
            whole = file.hashed == file.entry.size and not file.finished
            if whole:
                self._check(file)

    def _check(self, file: Incoming) -> None:
        assert file.receiving is not None
        found = file.digest.hexdigest()
        if found == file.entry.sha256:
            file.receiving.finish()
            with self.lock:
                file.finished = True
                self.lock.notify_all()
            return
        current = self.sources.number
        file.wrong[current] = file.wrong.get(current, 0) + 1
        error = IntegrityError(
            f"{file.entry.path} from {self.sources.current.reference} has sha256 {found}, "
            f"{file.entry.sha256} is expected",
            remedy="It was damaged on its way or where it lies. Pull again; if it stays, verify "
            "the origin and publish it again.",
        )
        if file.wrong[current] >= _SAME_SOURCE:
            self.sources.fail(current, error)
        self.observe(Note(f"{error.message}; it is fetched again", warning=True))
        file.receiving.discard()
        with self.lock:
            file.reset()
            file.begin(file.receiving)
            self.lock.notify_all()

    def _hash_on(self, file: Incoming) -> None:
        """Hash what lies on disk beyond what was hashed in passing."""
        assert file.receiving is not None
        buffer = memoryview(bytearray(PIECE))
        while file.hashed < file.entry.size and file.part_at(file.hashed) in file.there:
            offset, length = file.span(file.part_at(file.hashed))
            end = offset + length
            while file.hashed < end and not self.stopped:
                view = buffer[: min(PIECE, end - file.hashed)]
                count = file.receiving.read(file.hashed, view)
                if not count:
                    raise TransferError(f"{file.entry.path} lost bytes on this machine's disk")
                file.digest.update(view[:count])
                file.hashed += count
            if self.stopped:
                return

    def _fetch(self, file: Incoming, number: int) -> None:
        """Fetch a part, with patience, from the first source that delivers it."""
        offset, length = file.span(number)
        reached, tries = 0, 0
        while reached < length and not self.stopped:
            source, snapshot = self.sources.number, self.sources.current
            before = reached
            try:
                with snapshot.stream(file.entry.path, offset + reached, length - reached) as stream:
                    for piece in pieces(stream, file.entry.path, length - reached):
                        self._take(file, offset + reached, piece)
                        reached += len(piece)
                        if self.stopped:
                            return
            except TransientError as error:
                # What arrived in this try gives the next ones a new chance.
                tries = 1 if reached > before else tries + 1
                if tries >= snapshot.patience.attempts:
                    self._switch(file, source, error)
                    tries = 0
                else:
                    self._pause(snapshot.patience.before(tries, error))
            except QregError as error:
                self._switch(file, source, error)
                tries = 0

    def _switch(self, file: Incoming, source: int, error: QregError) -> None:
        """Go on with the next source, or raise what happened to the last one."""
        following = self.sources.fail(source, error)
        self.observe(
            Note(
                f"{error.message}; going on with {following.reference}",
                warning=True,
            )
        )

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self.lock:
            while not self.stopped and (left := until - time.monotonic()) > 0:
                self.lock.wait(left)

    def _take(self, file: Incoming, offset: int, content: memoryview) -> None:
        receiving = file.receiving
        assert receiving is not None
        receiving.write(offset, content)
        # Only whoever is at the end of what is hashed goes on with it, and nobody waits for that.
        if offset == file.hashed and file.lock.acquire(blocking=False):
            try:
                if offset == file.hashed:
                    file.digest.update(content)
                    file.hashed += len(content)
            finally:
                file.lock.release()
        file.done += len(content)
        now = time.monotonic()
        if now - self.shown > 0.1:
            self.shown = now
            done = sum(one.done for one in self.files)
            self.observe(
                Progress(
                    "pulling", done, self.total, "bytes", file.entry.path, file.done,
                    file.entry.size,
                )
            )  # fmt: skip
