"""Reading an artifact's folder: which files it has, and what their digests are."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from threading import Event, Lock

from registry.artifact import FileEntry, is_sha256
from registry.errors import IntegrityError, NotFoundError, UsageError
from registry.files import open_below
from registry.names import check_path
from registry.payload import MANIFEST_FILE, in_hidden_folder, is_kept, require_no_repository
from registry.progress import Observer, Progress, ignore

_DEEPEST = 64  # folders; real artifacts have one or two
_CHUNK = 2**20  # bytes read at once: more does not stay in a core's cache


def require_folder(path: Path, what: str = "artifact") -> Path:
    """Return `path` if it is a folder; raises NotFoundError or UsageError otherwise."""
    if not path.exists():
        raise NotFoundError(
            f"The {what} folder {path} does not exist",
            remedy="Check the path; a name in the registry is written ORG/NAME.",
        )
    if not path.is_dir():
        raise UsageError(
            f"{path} is a file, not a folder",
            remedy="Give the folder that holds config.json and the *.safetensors files.",
        )
    return path


@dataclass(frozen=True)
class Entry:
    """One file of a folder or of a store's listing, good or bad.

    Attributes:
        path: POSIX path below the folder.
        size: in bytes.
        mode: permission bits; None where the store has none.
        link: what a symbolic link points to, as it is written; None for a file.
        outside: whether a link leaves the folder.
        problem: why the entry cannot be part of an artifact; empty for a good one.
        sha256: of the content, where the store knows it.
        git_sha1: of the content as git counts it, where a hub tells that one.
    """

    path: str
    size: int
    mode: int | None = None
    link: str | None = None
    outside: bool = False
    problem: str = ""
    sha256: str | None = None
    git_sha1: str | None = None

    @classmethod
    def listed(cls, path: str, size: object, sha256: object, git_sha1: object = None) -> Entry:
        """An entry of a hub's listing, whatever that says.

        A sha256 becomes a file's name, so what is none is a problem.
        """
        try:
            check_path(path)
        except IntegrityError as error:
            return cls(path, 0, problem=error.message)
        if type(size) is not int or size < 0:
            return cls(path, 0, problem=f"The hub does not tell the size of {path}")
        if not sha256:
            told = git_sha1 if isinstance(git_sha1, str) else None
            return cls(path, size, git_sha1=told)
        if not isinstance(sha256, str) or not is_sha256(sha256):
            return cls(path, size, problem=f"What the hub tells of {path} is no sha256")
        return cls(path, size, sha256=sha256)


def scan_folder(folder: Path) -> Iterator[Entry]:
    """All files below `folder` that are part of an artifact, and its manifest.

    They are sorted within each folder. Hidden and generated folders and what hubs leave behind are
    left out. Nothing is refused here: an unsafe name, a link that leads nowhere or something that
    is no file comes as an entry with a `problem`.
    """
    root = require_folder(folder).resolve()
    for current, folders, names in os.walk(root, followlinks=False, onerror=_refuse):
        if len(Path(current).relative_to(root).parts) > _DEEPEST:
            path = Path(current).relative_to(root).as_posix()
            yield Entry(path, 0, problem=f"Folders lie deeper than {_DEEPEST} in each other")
            folders[:] = []
            continue
        for name in sorted(names + [d for d in folders if os.path.islink(f"{current}/{d}")]):
            full = Path(current, name)
            path = full.relative_to(root).as_posix()
            if is_kept(path) or path == MANIFEST_FILE:
                yield _entry(root, full, path)
        folders[:] = sorted(d for d in folders if not in_hidden_folder(f"{d}/x"))


def _refuse(error: OSError) -> None:
    """A folder that may not be read is not skipped: its files would be missing from digests."""
    raise error


def _entry(root: Path, full: Path, path: str) -> Entry:
    try:
        check_path(path)
    except IntegrityError as error:
        return Entry(path, 0, problem=error.message)
    if not full.is_symlink():
        status = full.lstat()
        problem = "" if stat.S_ISREG(status.st_mode) else f"{full} is neither a file nor a folder"
        return Entry(path, status.st_size, stat.S_IMODE(status.st_mode), problem=problem)
    link = str(full.readlink())
    try:
        target = full.resolve(strict=True)
        status = target.stat()
    except (OSError, RuntimeError) as error:
        return Entry(path, 0, link=link, problem=f"{full} is a symbolic link to nothing: {error}")
    problem = (
        "" if target.is_file() else f"{full} is a symbolic link to {target}, which is not a file"
    )
    return Entry(
        path,
        status.st_size,
        stat.S_IMODE(status.st_mode),
        link,
        outside=not target.is_relative_to(root),
        problem=problem,
    )


def list_files(folder: Path, *, follow_outside: bool = False) -> dict[str, int]:
    """Sizes in bytes of all files below `folder`, by POSIX path, as `scan_folder` finds them.

    Args:
        folder: the artifact's folder.
        follow_outside: let symbolic links point outside the folder, as in a snapshot of the
            Hugging Face cache. Right for reading, never for publishing.

    Raises:
        IntegrityError: an unsafe file name, a link that leaves the folder, or what is no file.
    """

    def allowed() -> Iterator[Entry]:
        for entry in scan_folder(folder):
            if entry.outside and not entry.problem and not follow_outside:
                raise IntegrityError(
                    f"{folder / entry.path} is a symbolic link to {entry.link}, which is outside "
                    "the folder",
                    remedy="Replace links by their files: cp -rL SOURCE NEW_FOLDER .",
                )
            yield entry

    return sizes_of(allowed())


def sizes_of(entries: Iterable[Entry]) -> dict[str, int]:
    """Sizes in bytes of a folder's files, by POSIX path; raises IntegrityError for a bad entry."""
    sizes = {}
    for entry in entries:
        if entry.problem:
            raise IntegrityError(entry.problem, remedy="Remove it from the artifact.")
        sizes[entry.path] = entry.size
    require_no_repository(sizes)
    return sizes


def sha256_file(path: Path) -> str:
    """The sha256 of a file's content, as 64 hexadecimal digits."""
    with path.open("rb", buffering=0) as file:
        return sha256_of(file)


def sha256_of(file: FileIO, told: Callable[[int], bool] = lambda count: True) -> str:
    """The sha256 of what is left of an open file, as 64 hexadecimal digits.

    Args:
        file: unbuffered.
        told: is told the bytes of each piece; whether to go on.
    """
    digest, buffer = hashlib.sha256(), memoryview(bytearray(_CHUNK))
    while count := file.readinto(buffer):
        digest.update(buffer[:count])
        if not told(count):
            break
    return digest.hexdigest()


def git_sha1(content: bytes) -> str:
    """The hash that git gives a file's content, by which hubs know small files."""
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()  # noqa: S324


def hash_files(
    folder: Path,
    paths: Iterable[str],
    observe: Observer = ignore,
    *,
    stage: str = "hashing",
    found: Callable[[FileEntry], None] = lambda entry: None,
    stored: bool = False,
) -> tuple[FileEntry, ...]:
    """Hash files in parallel, one thread a core, large files first.

    Args:
        folder: where the files are.
        paths: POSIX paths below `folder`.
        observe: is told the bytes done and the bytes in all.
        stage: the name of this work in the progress.
        found: is told each file when it is hashed, in any order and by any thread.
        stored: they lie in a registry, where no link is followed.

    Returns:
        One entry a file, sorted by path.

    Raises:
        IntegrityError: a file of a registry is a link.
    """
    sizes = {path: (folder / path).stat().st_size for path in paths}
    total, done, lock, stopped = sum(sizes.values()), 0, Lock(), Event()

    def one(path: str) -> FileEntry:
        size = 0

        def told(count: int) -> bool:
            nonlocal done, size
            size += count
            with lock:
                done += count
                observe(Progress(stage, done, total, "bytes", path))
            return not stopped.is_set()

        file = open_below(folder, path) if stored else FileIO(folder / path)
        with file:
            sha256 = sha256_of(file, told)
        entry = FileEntry(path, size, sha256)
        if not stopped.is_set():
            found(entry)
        return entry

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        try:
            return tuple(sorted(pool.map(one, sorted(sizes, key=lambda path: -sizes[path]))))
        finally:
            stopped.set()  # an interruption does not wait for terabytes to be hashed
