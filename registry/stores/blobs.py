"""Contents under their sha256, in a folder: what is there is whole, what comes can be resumed.

    ROOT/blobs/ab/abcdef…       a content, read-only, and as readable for others as ROOT is
    ROOT/hashed/…               which of them were hashed, and by whom (see `hashed`)
    ROOT/partial/abcdef…        one on its way
    ROOT/partial/abcdef….parts  a byte a part of it: 1 for what has arrived
    ROOT/.in-use                held, shared, by whoever receives or links; alone by who collects

What is on its way is locked by its own file (flock), so that locks leave nothing behind.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from io import FileIO
from pathlib import Path

from registry.artifact import FileEntry, is_sha256
from registry.errors import IntegrityError, TransferError
from registry.files import make_folder, open_below, sync_file, sync_folder
from registry.folder import sha256_file, sha256_of
from registry.stores.hashed import Hashed, stamp
from registry.stores.receiving import Receiving
from registry.stores.uploading import require_unchanged

_CHUNK = 8 * 2**20


class Blobs:
    """Contents below one folder.

    Args:
        root: the folder; it is made when something is received.
        private: contents of other users do not count: they could change after they were checked.

    Attributes:
        hashed: which contents this user has hashed.
    """

    def __init__(self, root: Path, *, private: bool = False) -> None:
        self.root = root
        self.hashed = Hashed(root)
        self._private = private

    def path(self, sha256: str) -> Path:
        """Where a content lies or would lie."""
        return self.root / _place(sha256)

    def has(self, sha256: str, size: int) -> bool:
        """Whether a content is there, by its name and size; whether it is sound, `trusts` tells."""
        status = self._status(sha256)
        return status is not None and status.st_size == size

    def trusts(self, sha256: str, size: int) -> bool:
        """Whether a content is there and sound: it is hashed, unless it has not changed since."""
        status = self._status(sha256)
        if status is None or status.st_size != size:
            return False
        return self.hashed.knows(sha256, status) or self.is_sound(sha256)

    def is_sound(self, sha256: str) -> bool:
        """Whether a content is there and is what its name says; reads all of it."""
        if self._status(sha256) is None:
            return False
        try:
            with self.open(sha256) as file:
                before = os.fstat(file.fileno())
                sound = sha256_of(file) == sha256
                after = os.fstat(file.fileno())
        except (FileNotFoundError, IntegrityError):
            return False
        if not sound:
            self.hashed.forget(sha256)
        elif stamp(before) == stamp(after):
            self.hashed.note(sha256, after)
        return sound

    def open(self, sha256: str) -> FileIO:
        """Open a content for reading; raises FileNotFoundError, or IntegrityError for a link."""
        return open_below(self.root, _place(sha256))

    def put(self, sha256: str, finished: Path) -> None:
        """Move a whole, checked file into place; it is on the disk when this returns.

        Where it replaces what was damaged, it does so in all revisions; what is there and sound
        stays, and the file is removed.
        """
        path = self.path(sha256)
        make_folder(path.parent)
        finished.chmod(0o444 & self._readable())
        sync_file(finished)
        replaced = self._status(sha256)
        if replaced is not None and self.hashed.knows(sha256, replaced):
            finished.unlink()
            self.renew(sha256)
            return
        os.replace(finished, path)
        sync_folder(path.parent)
        self.hashed.note(sha256, path.lstat())
        if replaced is not None:
            self._replace_links(replaced, sha256)

    def link(self, sha256: str, target: Path) -> None:
        """Link a content into a folder; raises FileNotFoundError if it is not there."""
        os.link(self.path(sha256), target, follow_symlinks=False)

    def linking(self, *sha256: str) -> AbstractContextManager[None]:
        """The time in which links to contents are made or removed: they stay hashed."""
        return self.hashed.keeping({one: self.path(one) for one in sha256})

    def _replace_links(self, damaged: os.stat_result, sha256: str) -> None:
        """Put a sound content in place of a damaged one wherever that was linked to."""
        with self.linking(sha256):
            for top in (self.root / "artifacts", self.root / "selected"):
                for current, _, names in os.walk(top):
                    for name in names:
                        old = _lstat(Path(current, name))
                        if old is not None and os.path.samestat(old, damaged):
                            part = self.incoming()
                            self.link(sha256, part)
                            os.replace(part, Path(current, name))
                            sync_folder(Path(current))

    def _status(self, sha256: str) -> os.stat_result | None:
        """The status of a content that may count; None if there is none."""
        status = _lstat(self.path(sha256))
        if status is None or not stat.S_ISREG(status.st_mode):
            return None
        return None if self._private and self._is_foreign(status) else status

    def _is_foreign(self, status: os.stat_result) -> bool:
        """Whether another user owns a file: not this one, not root, not who owns the folder.

        Who runs as root in a container works in a folder of another user's.
        """
        own = {os.geteuid(), 0}
        if os.geteuid() == 0:
            own.add(self.root.stat().st_uid)
        return status.st_uid not in own

    def _readable(self) -> int:
        """Read permission for those who may look into the registry's own folder."""
        mode = self.root.stat().st_mode
        return 0o400 | (0o040 if mode & 0o050 == 0o050 else 0) | (0o004 if mode & 5 == 5 else 0)

    def take(self, file: Path, entry: FileEntry, *, consume: bool = False) -> Path:
        """Bring in a file of this machine, read once and checked on its way.

        Args:
            file: holds the content; it is never written to.
            entry: what it must be.
            consume: the file is qreg's own and will not change: it may be hard-linked.

        Returns:
            Where the content lies now.

        Raises:
            IntegrityError: the file is not what the entry says.
        """
        part = self.incoming()
        try:
            linked = consume and _link(file, part)
            found = _hash_locked(part) if linked else _copy(file, part)
            require_unchanged(file, found, entry.sha256)
            self.put(entry.sha256, part)
        finally:
            part.unlink(missing_ok=True)
        return self.path(entry.sha256)

    def keep(self, content: bytes) -> str:
        """Put a small content in; return its sha256."""
        sha256 = hashlib.sha256(content).hexdigest()
        if self.trusts(sha256, len(content)):
            self.renew(sha256)
        else:
            part = self.incoming()
            part.write_bytes(content)
            self.put(sha256, part)
        return sha256

    def incoming(self) -> Path:
        """A new file for a content whose sha256 is not known yet, or not checked; see `put`."""
        part = self.root / "partial" / f"take-{uuid.uuid4().hex}"
        make_folder(part.parent)
        return part

    def receive(self, sha256: str, size: int) -> Receiving | None:
        """Begin or go on to receive a content; None while another process does so."""
        receiving = Receiving(self.root / "partial", sha256, size, self.put)
        return receiving if receiving.open() else None

    def all(self) -> Iterator[Path]:
        """Every content that is there."""
        yield from sorted((self.root / "blobs").glob("??/*"))

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Nothing is collected while the block lasts."""
        with self._lock(fcntl.LOCK_SH):
            yield

    def renew(self, sha256: str) -> None:
        """Note that somebody is about to name a content, for whoever collects."""
        path = self.path(sha256)
        with suppress(OSError), self.linking(sha256):  # another user's
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))  # its ctime is now

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody receives or links while the block lasts; raises BlockingIOError if somebody is."""
        with self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB):
            yield

    @contextmanager
    def _lock(self, how: int) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.root / ".in-use", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, how)
            yield
        finally:
            os.close(handle)


def _place(sha256: str) -> str:
    if not is_sha256(sha256):  # it becomes a path
        raise IntegrityError(f"{sha256[:80]!r} is no sha256", remedy="Do not use this artifact.")
    return f"blobs/{sha256[:2]}/{sha256}"


def _lstat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:
        return None


def _link(file: Path, target: Path) -> bool:
    """Hard-link a file; False on another file system, or one without hard links."""
    try:
        os.link(file, target)
    except OSError:
        return False
    return True


def _hash_locked(file: Path) -> str:
    """The sha256 of a file that a cleaner must not take for abandoned."""
    with file.open("rb") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        return sha256_file(file)


def _copy(file: Path, target: Path) -> str:
    """Copy a file, locked against cleaners; return its sha256."""
    digest = hashlib.sha256()
    with file.open("rb") as reader, target.open("wb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
    return digest.hexdigest()


def require_space(folder: Path, wanted: int, what: str) -> None:
    """Raise TransferError if a file system has not so many bytes left."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    stat = os.statvfs(existing)
    free = stat.f_bavail * stat.f_frsize
    if free < wanted:
        raise TransferError(
            f"{what} takes {wanted / 2**30:.1f} GiB, {existing} has {free / 2**30:.1f} GiB left",
            remedy="Free some space (`qreg cache prune`), or name another folder: QREG_CACHE or "
            "--output.",
        )
