"""A registry in a folder.

    ROOT/qreg-store.json                       marks the folder and its layout's version
    ROOT/blobs/ab/abcdef…                      every file once, by its sha256, read-only
    ROOT/hashed/…                              which of them were hashed (see `hashed`)
    ROOT/partial/…                             contents that are being received
    ROOT/artifacts/ORG/NAME/DIGEST/…           a revision: hard links and qreg.json
    ROOT/artifacts/ORG/NAME/.tags/TAG          one digest a file, replaced atomically
    ROOT/staging/ID/ and ID.lock               what is being published, locked

A revision is built in `staging` and renamed into place as its last step, so that a reader sees all
of it or nothing. Loaders can read a revision's folder as it is.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from registry.artifact import Digest, FileEntry, Manifest, is_sha256
from registry.clock import iso
from registry.errors import IntegrityError, NotFoundError, TransferError, UsageError
from registry.files import remove_tree, require_no_links, sync_folder, write_atomically
from registry.names import check_name, check_tags, is_name
from registry.payload import MANIFEST_FILE
from registry.progress import Observer, Progress, ignore
from registry.stores.blobs import Blobs
from registry.stores.interface import Published, Store, file_of, not_the_pinned
from registry.stores.local_marker import LAYOUT, MARKER, layout_of
from registry.stores.local_snapshot import MEND, LocalSnapshot, stands
from registry.stores.local_tags import LocalTags
from registry.stores.revisions import Revisions, files_of
from registry.stores.staging_area import StagingArea

LATEST = "latest"


class LocalStore(Store):
    """A registry in a folder of this machine or of a shared file system.

    Args:
        root: the folder.
        private: only this user writes to it; contents of others do not count.
    """

    def __init__(self, root: Path, *, private: bool = False) -> None:
        self.root = root
        self.blobs = Blobs(root, private=private)
        self._area = StagingArea(root, f".{MARKER}.lock")
        self._revisions = Revisions(self._area, self.blobs)

    @property
    def url(self) -> str:
        return f"file://{self.root}"

    @property
    def exists(self) -> bool:
        """Whether the folder is a registry already."""
        return (self.root / MARKER).is_file()

    def names(self) -> list[str]:
        top = self.root / "artifacts"
        found = (
            f"{org.name}/{name.name}"
            for org in _folders(top)
            for name in _folders(org)
            if _folders(name)
        )
        return sorted(name for name in found if is_name(name))

    def revisions(self, name: str) -> list[Published]:
        home, found, tags = self._home(name), [], dict[str, list[str]]()
        for tag, hex_ in LocalTags(home).all().items():
            tags.setdefault(hex_, []).append(tag)
        for folder in _folders(home):
            with suppress(FileNotFoundError):  # removed meanwhile
                stat = (folder / MANIFEST_FILE).lstat()
                if is_sha256(folder.name):
                    found.append((stat.st_mtime_ns, folder.name))
        return [
            Published(name, Digest(hex_), tuple(tags.get(hex_, ())), iso(when / 1e9))
            for when, hex_ in sorted(found, reverse=True)
        ]

    def snapshot(
        self, name: str, *, revision: str | None = None, digest: Digest | None = None
    ) -> LocalSnapshot:
        home, pinned = self._home(name), digest
        if not home.is_dir():
            if os.path.lexists(home):
                raise IntegrityError(f"{home} is no folder", remedy=MEND)
            raise NotFoundError(
                f"{name} is not in the registry {self.url}",
                remedy="`qreg list` shows what is there.",
            )
        if digest is None:
            digest = LocalTags(home).get(revision or LATEST)
        if digest is None and revision is None:
            # A publisher died between its commit and its tag.
            digest = next((published.digest for published in self.revisions(name)), None)
        found = self.find(name, digest) if digest else None
        if found is not None:
            return found
        kept = any(is_sha256(folder.name) for folder in _folders(home))
        if pinned is None and (digest is not None or (revision is None and kept)):
            # It has the name: whoever asks must not take that for a free one.
            raise IntegrityError(f"{name} has lost a manifest in {self.url}", remedy=MEND)
        there = self.revisions(name)
        if pinned is not None and there:
            raise not_the_pinned(self.url, name, pinned, there)
        raise NotFoundError(
            f"{name} has no revision '{digest or revision or LATEST}' in {self.url}",
            remedy="`qreg list` shows the revisions that are there.",
        )

    def find(self, name: str, digest: Digest) -> LocalSnapshot | None:
        """A revision by its digest; None if it is not there."""
        folder = self._home(name) / digest.hex
        whole = (folder / MANIFEST_FILE).is_file() and not folder.is_symlink()
        return LocalSnapshot(self.url, name, folder) if whole else None

    def publish(
        self,
        folder: Path,
        manifest: Manifest,
        *,
        tags: Iterable[str] = (),
        public: bool = False,
        extra: Mapping[str, Path] | None = None,
        observe: Observer = ignore,
        consume: bool = False,
    ) -> Published:
        check_tags(tags)
        target = self._home(check_name(manifest.name)) / manifest.digest.hex
        with self._changing(manifest.name), self.blobs.in_use():
            self._require_plain(target)
            if target.is_dir():
                self._mend(target, folder, manifest, extra, observe)
            else:
                self._take(folder, manifest, extra, observe, consume)
                self.link(manifest, target)
            return self._tag(manifest, (*tags, LATEST))

    def commit(
        self,
        manifest: Manifest,
        tags: Iterable[str] = (),
        *,
        newest: bool = True,
    ) -> Published:
        """Make a revision of contents that are all in `blobs` already.

        Args:
            manifest: what it is.
            tags: set to it.
            newest: `latest` is set to it, too.

        Raises:
            FileNotFoundError: one of them is not, or the revision is removed at once.
        """
        check_tags(tags)
        target = self._home(check_name(manifest.name)) / manifest.digest.hex
        with self._changing(manifest.name), self.blobs.in_use():
            self._require_plain(target)
            if stands(target, manifest.digest):
                self._revisions.put(target, self._revisions.strays(target, manifest))
            else:
                self.take_away(target)  # what is left of one whose manifest was lost
                self.link(manifest, target)
            return self._tag(manifest, (*tags, *((LATEST,) if newest else ())))

    def link(
        self, manifest: Manifest, target: Path, files: Iterable[FileEntry] | None = None
    ) -> None:
        """Build a folder inside the registry of contents that are in `blobs`; see `Revisions`."""
        self._revisions.build(manifest, target, manifest.files if files is None else files)

    def prepare(self) -> None:
        """Make the folder a registry, so that contents can be received into `blobs`."""
        with self._changing("contents"):
            pass

    def untag(self, name: str, tag: str) -> None:
        """Remove a tag; one that is not there is no error."""
        require_no_links(self.root, self._home(name) / ".tags")
        LocalTags(self._home(name)).remove(tag)

    def remove(self, name: str, digest: Digest) -> None:
        """Remove a revision; its contents go with `blobs.collect`, if no other has them."""
        target = self._home(name) / digest.hex
        with self._changing(name), self._area.guard():
            self._require_plain(target)
            tags = LocalTags(target.parent)
            for tag, hex_ in tags.all().items():
                if hex_ == digest.hex:
                    tags.remove(tag)
        self.take_away(target)

    def take_away(self, folder: Path) -> None:
        """Remove a folder inside the registry; nobody sees a part of it."""
        trash = self.root / "staging" / uuid.uuid4().hex
        with self._changing(folder.name), self._area.guard():
            require_no_links(self.root, folder.parent)
            trash.parent.mkdir(exist_ok=True)
            if folder.is_dir():
                os.rename(folder, trash)
                sync_folder(folder.parent)
        with self.blobs.linking(*(entry.sha256 for entry in files_of(trash))):
            remove_tree(trash)

    @contextmanager
    def _changing(self, name: str) -> Iterator[None]:
        try:
            self._initialise()
            self._area.clean()
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise TransferError(
                f"Publishing {name} to {self.url} failed: {error}",
                remedy="Nothing of it became visible. Check the folder's permissions and free "
                "space, then publish again.",
            ) from error

    def _tag(self, manifest: Manifest, tags: Iterable[str]) -> Published:
        for tag in tags:
            LocalTags(self._home(manifest.name)).set(tag, manifest.digest)
        for revision in self.revisions(manifest.name):
            if revision.digest == manifest.digest:
                return revision
        raise FileNotFoundError(f"{manifest.name} was removed from {self.url} as soon as it came")

    def _take(
        self,
        folder: Path,
        manifest: Manifest,
        extra: Mapping[str, Path] | None,
        observe: Observer,
        consume: bool,
    ) -> None:
        """Bring all contents into `blobs`; what is there already is checked before it counts."""
        done, total = 0, manifest.size
        for entry in manifest.files:
            observe(Progress("publishing", done, total, "bytes", entry.path))
            if not self.blobs.is_sound(entry.sha256):
                file = file_of(folder, extra, entry.path)
                self.blobs.take(file, entry, consume=consume)
            done += entry.size
        observe(Progress("publishing", total, total, "bytes"))

    def _mend(
        self,
        target: Path,
        folder: Path,
        manifest: Manifest,
        extra: Mapping[str, Path] | None,
        observe: Observer,
    ) -> None:
        """Put back what has been damaged in a revision that is published once more."""
        damaged = self._revisions.damaged(target, manifest, observe)
        for entry in damaged:
            if not self.blobs.is_sound(entry.sha256):
                self.blobs.take(file_of(folder, extra, entry.path), entry)
        self._revisions.put(target, damaged)
        if not stands(target, manifest.digest):
            write_atomically(target / MANIFEST_FILE, manifest.to_bytes(), mode=0o444)

    def _require_plain(self, target: Path) -> None:
        """Refuse to change an artifact whose folder, or whose tags', is reached through a link."""
        require_no_links(self.root, target)
        require_no_links(self.root, target.parent / ".tags")

    def _home(self, name: str) -> Path:
        return self.root / "artifacts" / check_name(name)

    def _initialise(self) -> None:
        if self.exists:
            layout = layout_of(self.root)
            if layout != LAYOUT:
                raise UsageError(
                    f"{self.root} has registry layout {layout}, this qreg knows {LAYOUT}",
                    remedy="Upgrade qreg.",
                )
            return
        with self._area.guard():
            if not self.exists:
                # The lock, and what those left who died while they made the marker.
                own = f".{MARKER}."
                if not all(path.name.startswith(own) for path in self.root.iterdir()):
                    raise UsageError(
                        f"{self.root} is neither empty nor a registry",
                        remedy="Name a new folder, or one that qreg publishes to already.",
                    )
                write_atomically(self.root / MARKER, json.dumps({"layout": LAYOUT}).encode())


def _folders(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
