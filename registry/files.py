"""Careful file operations: whole or not at all, through no link, on the disk when they return."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from errno import ELOOP, ENOTDIR
from io import FileIO
from pathlib import Path

from registry.errors import IntegrityError, NotAllowedError, TransferError

_CHUNK = 8 * 2**20


def write_atomically(
    path: Path, content: bytes, *, mode: int = 0o644, durable: bool = True
) -> None:
    """Write a whole file so that a reader sees the old content or the new, never a part.

    Args:
        path: of the file; folders above it are made.
        content: of the file.
        mode: permission bits.
        durable: the new content is on the disk, name and all, when this returns; not needed for
            what can be made again.
    """
    if durable:
        make_folder(path.parent)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def make_folder(path: Path, mode: int = 0o775) -> None:
    """Make a folder and those above it, so that a power cut does not undo it.

    Args:
        path: of the folder; one that is there is left as it is.
        mode: permission bits of what is made, less the process's umask.
    """
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(mode, exist_ok=True)
        sync_folder(folder.parent)


def sync_file(path: Path) -> None:
    """Wait until a file's content is on the disk."""
    _sync(path, os.O_NOFOLLOW)


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk: what was made, renamed and removed."""
    _sync(path, os.O_DIRECTORY)


def _sync(path: Path, flag: int) -> None:
    handle = os.open(path, os.O_RDONLY | flag)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(path: Path, *, contents: bool = True) -> None:
    """Wait until a folder with all that lies in it is on the disk; links are not followed.

    Args:
        path: of the folder.
        contents: also those of the files, not only their names.
    """
    for current, _, names in os.walk(path, topdown=False):
        for name in names if contents else ():
            file = Path(current, name)
            if stat.S_ISREG(file.lstat().st_mode):
                sync_file(file)
        sync_folder(Path(current))


def remove_file(path: Path) -> None:
    """Remove a file, so that a power cut does not bring it back; a missing one is no error."""
    try:
        path.unlink()
    except FileNotFoundError:
        return
    sync_folder(path.parent)


def open_below(folder: Path, path: str) -> FileIO:
    """Open a file of a folder for reading, through no link.

    Args:
        folder: that is trusted; it may be reached through links.
        path: POSIX path of the file below it.

    Raises:
        FileNotFoundError: there is none.
        IntegrityError: a link lies in the way, or it is no regular file.
    """
    *above, name = path.split("/")
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in above:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
            os.close(handle)
            handle = inner
        # A pipe would keep us waiting for whoever writes to it.
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=handle)
    except OSError as error:
        if error.errno in (ELOOP, ENOTDIR):
            raise _not_a_file(folder, path) from error
        raise
    finally:
        os.close(handle)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise _not_a_file(folder, path)
    return FileIO(file, "rb")


def _not_a_file(folder: Path, path: str) -> IntegrityError:
    return IntegrityError(
        f"{folder / path} is not a file of its own: it is a link, or reached through one",
        remedy="qreg stores no links; find out who put it there, then publish the origin again.",
    )


def require_no_links(root: Path, path: Path) -> None:
    """Refuse to change what lies below a folder if a link leads to it, out of the folder perhaps.

    Args:
        root: the folder, which may itself be reached through links.
        path: below it, or `root`; need not be there yet.

    Raises:
        IntegrityError: one of the folders on the way, or `path` itself, is a link.
    """
    for part in (path, *path.parents):
        if part == root:
            return
        if part.is_symlink():
            raise IntegrityError(
                f"{part} is a link, in a registry, which holds none",
                remedy="Find out who put it there, and remove it; nothing was changed.",
            )


def read_own(path: Path) -> bytes | None:
    """The content of a file that this user wrote; None if there is none, or another user did.

    In a folder that several users can write to, notes of others are no notes of ours.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with FileIO(handle, "rb") as file:
        status = os.fstat(handle)
        own = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
        return file.readall() if own else None


def require_own(folder: Path, what: str) -> None:
    """Refuse a folder that another user owns: that one could change what was checked in it.

    Who runs as root, in a container for example, may work in folders of a user; these belong to
    whom the folder above them belongs to.

    Args:
        folder: need not be there yet.
        what: it is, for the message.

    Raises:
        NotAllowedError: it belongs to another user, or is a link.
    """
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return
    own = {os.geteuid(), 0}
    if os.geteuid() == 0:
        own.add(folder.absolute().parent.stat().st_uid)
    if stat.S_ISLNK(status.st_mode) or status.st_uid not in own:
        raise NotAllowedError(
            f"{what} {folder} belongs to user {status.st_uid}, or is a link: who owns it could "
            "change files after they were verified",
            remedy="Remove it, or name a folder of your own (--output, QREG_CACHE).",
        )


def remove_tree(path: Path) -> None:
    """Remove a folder of ours, read-only files included; a missing one is no error."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


def copy_file(source: Path, target: Path, tell: Callable[[int], None] | None = None) -> str:
    """Copy one file, readable for all; return the sha256 of its content.

    Args:
        source, target: files.
        tell: is told the bytes copied so far.
    """
    digest, copied = hashlib.sha256(), 0
    with source.open("rb") as reader, target.open("wb") as writer:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
            copied += len(chunk)
            if tell is not None:
                tell(copied)
    target.chmod(0o644)
    return digest.hexdigest()


def require_room(output: Path, needed: int, what: str) -> None:
    """Raise TransferError if a disk has less free than what will be written.

    Args:
        output: where it will lie; it need not be there yet.
        needed: bytes.
        what: will be written, for the message.
    """
    existing = next(parent for parent in output.absolute().parents if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise TransferError(
            f"{what} takes {needed:,} bytes, {existing} has {free:,} free",
            remedy="Name a folder on a larger disk.",
        )
