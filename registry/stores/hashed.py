"""Which contents this user has hashed, and that have not changed since.

    ROOT/hashed/ab/SHA256.USER     `[sha256, inode, size, mtime, ctime]` of a content, in JSON

A content counts as verified while its inode, size and both times are those of its last hashing. The
ctime cannot be set: whoever changes bytes and puts the mtime back is noticed. It also changes when
qreg itself links to a content, so links are made inside of `keeping`. A note is believed only if
this user owns its file; without one the content is hashed again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from registry.artifact import is_sha256
from registry.errors import IntegrityError
from registry.files import read_own, write_atomically


class Hashed:
    """The notes of one user on the contents below one folder.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / "hashed"

    def knows(self, sha256: str, status: os.stat_result) -> bool:
        """Whether a file with such a status was hashed, and is unchanged.

        Args:
            sha256: that it had then.
            status: of the file now.
        """
        content = read_own(self._path(sha256))
        try:
            return content is not None and json.loads(content) == [sha256, *stamp(status)]
        except ValueError:
            return False

    def note(self, sha256: str, status: os.stat_result) -> None:
        """Note that a file's content was hashed; what cannot be noted is hashed again."""
        content = json.dumps([sha256, *stamp(status)]).encode()
        with suppress(OSError):  # a disk that is full, or not ours to write to
            write_atomically(self._path(sha256), content, mode=0o600, durable=False)

    def forget(self, sha256: str) -> None:
        """Let a content be hashed again: it is gone, or is not what it should be."""
        with suppress(OSError):  # another user's, or never noted
            for path in self._path(sha256).parent.iterdir():
                if path.name.partition(".")[0] == sha256:
                    path.unlink()

    @contextmanager
    def keeping(self, files: Mapping[str, Path]) -> Iterator[None]:
        """Keep the notes of files whose links change in the block, and nothing else of them.

        Args:
            files: by sha256.
        """
        before = {sha256: status for sha256, path in files.items() if (status := _status(path))}
        known = {sha256: s for sha256, s in before.items() if self.knows(sha256, s)}
        yield
        for sha256, old in known.items():
            new = _status(files[sha256])
            if new is not None and stamp(new)[:-1] == stamp(old)[:-1]:
                self.note(sha256, new)

    def _path(self, sha256: str) -> Path:
        if not is_sha256(sha256):  # it becomes a path
            raise IntegrityError(f"{sha256[:80]!r} is no sha256")
        return self._folder / sha256[:2] / f"{sha256}.{os.geteuid()}"


def stamp(status: os.stat_result) -> list[int]:
    """What changes when a file does: inode, size in bytes, and both times in ns, the ctime last."""
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:
        return None
