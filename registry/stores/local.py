"""A registry in a folder.

    ROOT/qreg-store.json                       marks the folder and its layout's version
    ROOT/blobs/ab/abcdef…                      every file once, by its sha256, read-only
    ROOT/artifacts/ORG/NAME/DIGEST/…           a revision: hard links and qreg.json
    ROOT/artifacts/ORG/NAME/.tags/TAG          one digest a file, replaced atomically
    ROOT/staging/ID/ and ID.lock               what is being published, locked

A revision is built in `staging` and renamed into place as its last step, so that a reader sees all
of it or nothing. Loaders can read a revision's folder as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from registry.artifact import MANIFEST_FILE, Digest, FileEntry, Manifest
from registry.clock import iso
from registry.errors import IntegrityError, NotFoundError, TransferError, UsageError
from registry.files import remove_tree, sync_folder, write_atomically
from registry.folder import hash_files, sha256_file
from registry.names import check_name, check_tag
from registry.progress import Observer, Progress, ignore
from registry.stores.interface import Published, Snapshot, Store

MARKER = "qreg-store.json"
LATEST = "latest"
_LAYOUT = 1
_CHUNK = 8 * 2**20


class LocalSnapshot(Snapshot):
    """A revision's folder."""

    def __init__(self, store: LocalStore, name: str, folder: Path) -> None:
        self._store, self._name, self._folder = store, name, folder
        self._manifest: Manifest | None = None

    @property
    def reference(self) -> str:
        return f"{self._store.url}/{self._name}@sha256:{self._folder.name}"

    @property
    def manifest(self) -> Manifest:
        if self._manifest is None:
            manifest = Manifest.from_bytes((self._folder / MANIFEST_FILE).read_bytes())
            if manifest.digest.hex != self._folder.name:
                raise IntegrityError(
                    f"{self._folder} holds the manifest of {manifest.digest}",
                    remedy="The registry's folder was altered; publish the artifact again.",
                )
            self._manifest = manifest
        return self._manifest

    @property
    def folder(self) -> Path:
        return self._folder

    def read(self, path: str, offset: int, length: int) -> bytes:
        try:
            with (self._folder / path).open("rb") as file:
                file.seek(offset)
                return file.read(length)
        except FileNotFoundError as error:
            raise NotFoundError(f"{self.reference} has no file {path!r}") from error


class LocalStore(Store):
    """A registry in a folder of this machine or of a shared file system."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def url(self) -> str:
        return f"file://{self.root}"

    @property
    def exists(self) -> bool:
        """Whether the folder is a registry already."""
        return (self.root / MARKER).is_file()

    def names(self) -> list[str]:
        top = self.root / "artifacts"
        return sorted(f"{org.name}/{name.name}" for org in _folders(top) for name in _folders(org))

    def revisions(self, name: str) -> list[Published]:
        home = self._home(name)
        tags: dict[str, list[str]] = {}
        for tag in sorted((home / ".tags").glob("*")):
            if not tag.name.startswith("."):
                tags.setdefault(tag.read_text().strip(), []).append(tag.name)
        found = []
        for folder in _folders(home):
            stat = (folder / MANIFEST_FILE).stat()
            found.append((stat.st_mtime_ns, folder.name))
        return [
            Published(name, Digest(hex_), tuple(tags.get(hex_, ())), iso(when / 1e9))
            for when, hex_ in sorted(found, reverse=True)
        ]

    def snapshot(
        self, name: str, *, revision: str | None = None, digest: Digest | None = None
    ) -> LocalSnapshot:
        home = self._home(name)
        if not home.is_dir():
            raise NotFoundError(
                f"{name} is not in the registry {self.url}",
                remedy="`qreg list` shows what is there.",
            )
        if digest is None and revision is None and not (home / ".tags" / LATEST).is_file():
            # A publisher died between its commit and its tag.
            digest = next((published.digest for published in self.revisions(name)), None)
        if digest is None:
            digest = self._tagged(name, revision or LATEST)
        folder = home / digest.hex
        if not (folder / MANIFEST_FILE).is_file():
            raise NotFoundError(
                f"{name} has no revision {digest} in {self.url}",
                remedy="`qreg list` shows the revisions that are there.",
            )
        return LocalSnapshot(self, name, folder)

    def publish(
        self,
        folder: Path,
        manifest: Manifest,
        *,
        tags: Iterable[str] = (),
        observe: Observer = ignore,
        consume: bool = False,
    ) -> Published:
        name = check_name(manifest.name)
        tags = [*(check_tag(tag) for tag in tags), LATEST]
        target = self._home(name) / manifest.digest.hex
        try:
            self._initialise()
            self._clean_staging()
            if (target / MANIFEST_FILE).is_file():
                self._mend(target, folder, manifest, observe)
            else:
                with self._staging() as stage:
                    self._fill(stage, folder, manifest, observe, consume)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    try:
                        os.rename(stage, target)
                    except OSError:
                        # Another publisher of the same digest was faster: its revision is ours.
                        if not (target / MANIFEST_FILE).is_file():
                            raise
                    sync_folder(target.parent)
            for tag in tags:
                path = target.parent / ".tags" / tag
                write_atomically(path, f"{manifest.digest.hex}\n".encode())
        except OSError as error:
            raise TransferError(
                f"Publishing {name} to {self.url} failed: {error}",
                remedy="Nothing of it became visible. Check the folder's permissions and free "
                "space, then publish again.",
            ) from error
        return next(r for r in self.revisions(name) if r.digest == manifest.digest)

    def _fill(
        self, stage: Path, folder: Path, manifest: Manifest, observe: Observer, consume: bool
    ) -> None:
        total = sum(entry.size for entry in manifest.files)
        done = 0
        for entry in manifest.files:
            observe(Progress("publishing", done, total, "bytes", entry.path))
            link = stage / entry.path
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(self._blob(stage, folder, entry, consume), link)
            done += entry.size
        observe(Progress("publishing", total, total, "bytes"))
        write_atomically(stage / MANIFEST_FILE, manifest.to_bytes(), mode=0o444)
        sync_folder(stage)

    def _blob(self, stage: Path, folder: Path, entry: FileEntry, consume: bool) -> Path:
        """The stored content of a file; what is there already is checked before it is used."""
        blob = self.root / "blobs" / entry.sha256[:2] / entry.sha256
        if not (blob.is_file() and sha256_file(blob) == entry.sha256):
            self._take(stage, folder / entry.path, entry, blob, consume)
        return blob

    def _mend(self, target: Path, folder: Path, manifest: Manifest, observe: Observer) -> None:
        """Put back what has been damaged in a revision that is published once more."""
        stored = [e.path for e in manifest.files if (target / e.path).is_file()]
        sound = hash_files(target, stored, observe, stage="checking what is stored")
        damaged = set(manifest.files) - set(sound)
        if damaged:
            with self._staging() as stage:
                for number, entry in enumerate(sorted(damaged)):
                    link = stage / str(number)
                    os.link(self._blob(stage, folder, entry, consume=False), link)
                    (target / entry.path).parent.mkdir(parents=True, exist_ok=True)
                    os.replace(link, target / entry.path)

    def _take(self, stage: Path, source: Path, entry: FileEntry, blob: Path, consume: bool) -> None:
        """Bring one file into `blobs`, checked on its way."""
        part = stage.with_name(f"{stage.name}.part")
        part.unlink(missing_ok=True)
        linked = False
        if consume:
            try:
                os.link(source, part)
                linked = True
            except OSError:  # another file system, or one without hard links
                linked = False
        digest = hashlib.sha256()
        with source.open("rb") as reader:
            if linked:
                while chunk := reader.read(_CHUNK):
                    digest.update(chunk)
            else:
                with part.open("wb") as writer:
                    while chunk := reader.read(_CHUNK):
                        digest.update(chunk)
                        writer.write(chunk)
                    writer.flush()
                    os.fsync(writer.fileno())
        if digest.hexdigest() != entry.sha256:
            part.unlink()
            raise IntegrityError(
                f"{source} changed while it was published: its sha256 is {digest.hexdigest()}, "
                f"the manifest says {entry.sha256}",
                remedy="Let whatever writes to the folder finish, then publish again.",
            )
        part.chmod(0o444)
        blob.parent.mkdir(parents=True, exist_ok=True)
        os.replace(part, blob)

    def _tagged(self, name: str, tag: str) -> Digest:
        path = self._home(name) / ".tags" / check_tag(tag)
        if not path.is_file():
            raise NotFoundError(
                f"{name} has no revision {tag!r} in {self.url}",
                remedy="`qreg list` shows tags and digests.",
            )
        return Digest.parse(path.read_text().strip())

    def _home(self, name: str) -> Path:
        return self.root / "artifacts" / check_name(name)

    def _initialise(self) -> None:
        if self.exists:
            layout = json.loads((self.root / MARKER).read_text()).get("layout")
            if layout != _LAYOUT:
                raise UsageError(
                    f"{self.root} has registry layout {layout}, this qreg knows {_LAYOUT}",
                    remedy="Upgrade qreg.",
                )
            return
        with self._guard() as guard:
            if not self.exists:
                if any(path != Path(guard.lock_file) for path in self.root.iterdir()):
                    raise UsageError(
                        f"{self.root} is neither empty nor a registry",
                        remedy="Name a new folder, or one that qreg publishes to already.",
                    )
                write_atomically(self.root / MARKER, json.dumps({"layout": _LAYOUT}).encode())

    @contextmanager
    def _staging(self) -> Iterator[Path]:
        stage = self.root / "staging" / uuid.uuid4().hex
        stage.parent.mkdir(exist_ok=True)
        lock = FileLock(f"{stage}.lock")
        with self._guard():  # or a cleaner could take the lock between its making and its locking
            lock.acquire()
        try:
            stage.mkdir()
            yield stage
        finally:
            _discard(stage)
            lock.release()

    def _clean_staging(self) -> None:
        """Remove what publishers left that died; the lock of a living one is held."""
        with self._guard():
            for lock_file in (self.root / "staging").glob("*.lock"):
                try:
                    with FileLock(lock_file, timeout=0):
                        _discard(lock_file.with_suffix(""))
                except Timeout:
                    continue

    def _guard(self) -> FileLock:
        """Held for a moment by whoever makes or cleans what others could mistake for leftovers."""
        self.root.mkdir(parents=True, exist_ok=True)
        return FileLock(self.root / f".{MARKER}.lock")


def find_store(path: Path) -> tuple[LocalStore, str] | None:
    """Split `ROOT/ORG/NAME` into the registry that it lies in and the name; None outside one."""
    for root in (path, *path.parents):
        if (root / MARKER).is_file():
            rest = path.relative_to(root).as_posix()
            return LocalStore(root), "" if rest == "." else rest
    return None


def _discard(stage: Path) -> None:
    remove_tree(stage)
    stage.with_name(f"{stage.name}.part").unlink(missing_ok=True)
    stage.with_name(f"{stage.name}.lock").unlink(missing_ok=True)


def _folders(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
