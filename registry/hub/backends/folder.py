"""A hub over a registry in a folder: its contents are the registry's own."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path

from registry.artifact import Manifest
from registry.errors import IntegrityError, NotFoundError, TransientError
from registry.files import make_folder
from registry.folder import sha256_of
from registry.hub.backends.folder_records import FolderRecords
from registry.hub.backends.interface import Backend, Contents
from registry.hub.sinks import FileSink
from registry.stores.blobs import Blobs, require_space
from registry.stores.collecting import collect
from registry.stores.local import LocalStore
from registry.stores.receiving import MARKS
from registry.transport import Stream


class FolderContents(Contents):
    """Contents among a registry's; repositories share them."""

    takes_parts = True

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def has(self, name: str, sha256: str, size: int) -> bool:
        if not self._blobs.trusts(sha256, size):
            return False
        self._blobs.renew(sha256)  # a commit that names it may follow
        return True

    def keep(self, name: str, contents: Sequence[bytes]) -> None:
        for content in dict.fromkeys(contents):  # equal ones once
            self._blobs.keep(content)

    @contextmanager
    def stream(self, name: str, sha256: str, offset: int, length: int) -> Iterator[Stream]:
        try:
            file = self._blobs.open(sha256)
        except (FileNotFoundError, IntegrityError) as error:
            raise NotFoundError(f"The content {sha256} is missing in the registry") from error
        with file:
            os.posix_fadvise(file.fileno(), offset, length, os.POSIX_FADV_SEQUENTIAL)
            file.seek(offset)
            yield file

    def sink(self, name: str, sha256: str, size: int) -> FileSink:
        part = self._blobs.incoming()
        handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(handle, fcntl.LOCK_SH)  # not abandoned, however long it is silent
        return FileSink(
            handle,
            0,
            size,
            keep=lambda: self._blobs.put(sha256, part),
            drop=lambda: part.unlink(missing_ok=True),
        )

    def collect(
        self,
        names: Callable[[], Iterable[str]],
        named: Callable[[str], Collection[str]],
        *,
        older_than: float,
        dry: bool,
    ) -> int | None:
        return collect(
            self._blobs,
            older_than=older_than,
            going={} if dry else None,
            named=lambda: {sha256 for name in names() for sha256 in named(name)},
            unnamed_for=older_than,
        )

    def committing(self) -> AbstractContextManager[None]:
        return self._blobs.in_use()

    def require_space(self, size: int) -> None:
        require_space(self._blobs.root, size, "This upload")

    def part(self, name: str, sha256: str, offset: int, length: int) -> FileSink:
        path = self._parts_of(name, sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
                with suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(handle), path.stat()):
                        note = partial(_note_arrived, _arrived(path), offset, length)
                        return FileSink(handle, offset, length, keep=note)
            except BlockingIOError as error:
                os.close(handle)
                raise _busy("This upload is just being put together") from error
            # The parts were joined meanwhile: this would be written into the whole.
            os.close(handle)

    def join(self, name: str, sha256: str, size: int) -> str:
        path = self._parts_of(name, sha256)
        try:
            file = path.open("rb", buffering=0)
        except FileNotFoundError as error:
            raise NotFoundError("No part of this upload has arrived") from error
        with file:
            try:
                # Whoever still sends a part of it is not waited for: that may be a stranger to it.
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise _busy("Parts of this upload are still arriving") from error
            if not _covers(_arrived(path), size) or os.fstat(file.fileno()).st_size != size:
                raise NotFoundError("Not all parts of this upload have arrived")
            found = sha256_of(file)
            if found == sha256:
                self._blobs.put(sha256, path)
            else:
                path.unlink(missing_ok=True)
            _arrived(path).unlink(missing_ok=True)
        return found

    def _parts_of(self, name: str, sha256: str) -> Path:
        """Where parts arrive, of each repository's own: others' prove nothing for it."""
        own = hashlib.sha256(name.encode()).hexdigest()[:16]
        return self._blobs.root / "partial" / f"upload-{sha256}-{own}"


class FolderBackend(Backend):
    """All of a hub in one folder, beside the registry's artifacts."""

    store: LocalStore

    def __init__(self, store: LocalStore, state: Path | None = None) -> None:
        self.store = store
        self.contents = FolderContents(store.blobs)
        self.records = FolderRecords(store.root / "hub")
        self.state = state or store.root / "hub"

    def prepare(self) -> None:
        make_folder(self.store.root, 0o750)  # files of a registry are as readable as its folder
        self.store.prepare()
        make_folder(self.store.root / "hub", 0o700)
        with suppress(PermissionError):  # another user's, who serves it
            (self.store.root / "hub").chmod(0o700)

    @property
    def is_readable_for_all(self) -> bool:
        mode = self.store.root.stat().st_mode
        return bool(mode & 0o005)

    def is_behind(self, name: str, known: Collection[str]) -> bool:
        return any(str(revision.digest) not in known for revision in self.store.revisions(name))

    def export(self, manifest: Manifest, tags: Iterable[str], *, newest: bool) -> None:
        self.store.commit(manifest, tags, newest=newest)

    def untag(self, name: str, tag: str) -> None:
        self.store.untag(name, tag)

    def remove(self, name: str) -> None:
        for revision in self.store.revisions(name):
            self.store.remove(name, revision.digest)
        self.records.remove(name)


def _busy(problem: str) -> TransientError:
    return TransientError(problem, remedy="Try again in a moment.")


def _arrived(path: Path) -> Path:
    """Where it is noted which parts of an upload have arrived: a line `OFFSET LENGTH` each."""
    return path.with_name(path.name + MARKS)


def _note_arrived(notes: Path, offset: int, length: int) -> None:
    with notes.open("a", encoding="ascii") as file:
        file.write(f"{offset} {length}\n")


def _covers(notes: Path, size: int) -> bool:
    """Whether the parts that have arrived are a whole of so many bytes."""
    try:
        lines = [line.split() for line in notes.read_text(encoding="ascii").splitlines()]
        spans = sorted((int(offset), int(length)) for offset, length in lines)
    except (OSError, ValueError):
        return False
    reached = 0
    for offset, length in spans:
        if offset > reached:
            return False
        reached = max(reached, offset + length)
    return reached == size
