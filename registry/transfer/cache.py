"""The cache: artifacts that were pulled, in the layout of a registry, and what they were called.

QREG_CACHE/pulled/…                a registry in a folder (see `stores.local`)
QREG_CACHE/pulled/selected/…       parts of artifacts (see `selected`)
QREG_CACHE/pulled/used/…           touched when an artifact is pulled or served
QREG_CACHE/pulled/references/…     which digest a reference had when it was last pulled
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from registry.artifact import Digest, FileEntry, Manifest, is_sha256
from registry.config import Settings
from registry.errors import NotFoundError, QregError
from registry.files import require_own, write_atomically
from registry.payload import MANIFEST_FILE
from registry.reference import Reference
from registry.stores.collecting import collect
from registry.stores.local import LocalStore
from registry.stores.local_snapshot import LocalSnapshot
from registry.transfer.selected import Selected
from registry.transfer.selection import Selection


@dataclass(frozen=True)
class Cached:
    """An artifact in the cache, or a part of one.

    Attributes:
        name: ORG/NAME.
        digest: of the payload, of the whole artifact also where it is a part.
        folder: where it lies.
        size: of all its files, in bytes; other artifacts may share some of them.
        used: seconds since it was last pulled or served.
        part: whether it is only what was selected.
    """

    name: str
    digest: Digest
    folder: Path
    size: int
    used: float
    part: bool = False


@dataclass(frozen=True)
class Pruned:
    """What a pruning removed, or would remove.

    Attributes:
        removed: the artifacts.
        freed: bytes; None if other processes are pulling, so that contents were left for now.
    """

    removed: tuple[Cached, ...]
    freed: int | None


class Cache:
    """What was pulled to this machine."""

    def __init__(self, settings: Settings) -> None:
        root = settings.cache / "pulled"
        require_own(root, "The cache")
        self.store = LocalStore(root, private=True)
        self.selected = Selected(self.store)

    def whole(self, name: str, digest: Digest) -> LocalSnapshot | None:
        """An artifact that is in the cache, all of it, or None."""
        return self.store.find(name, digest)

    def find(self, manifest: Manifest, files: Sequence[FileEntry]) -> Cached | None:
        """Where files of an artifact lie: in the whole, or in a part that has just them."""
        whole = self.whole(manifest.name, manifest.digest)
        folder = whole.folder if whole else self.selected.folder(manifest, files)
        with suppress(FileNotFoundError):
            return self._cached(manifest.name, manifest.digest, folder, part=whole is None)
        return None

    def commit(self, manifest: Manifest, files: Sequence[FileEntry]) -> Path:
        """Make what was received visible: an artifact, or a part if that is not all of its files.

        Returns:
            Its folder.

        Raises:
            FileNotFoundError: a content was removed meanwhile.
        """
        if len(files) < len(manifest.files):
            return self.selected.commit(manifest, files)
        self.store.commit(manifest)
        found = self.whole(manifest.name, manifest.digest)
        if found is None:
            raise FileNotFoundError(f"{manifest.name} was removed as soon as it came")
        return found.folder

    def recall(self, text: str) -> LocalSnapshot | None:
        """What a reference named when it was last pulled, if that is still in the cache."""
        known = self._known(text)
        return None if known is None else self.whole(*known)

    def recall_part(self, text: str, selection: Selection) -> Manifest | None:
        """The whole's manifest, if what is selected of it was pulled by that reference."""
        known = self._known(text)
        for folder, manifest in self.selected.of(*known) if known else ():
            with suppress(NotFoundError):  # nothing of it is selected
                if self.selected.folder(manifest, selection.of_files(manifest.files)) == folder:
                    return manifest
        return None

    def _known(self, text: str) -> tuple[str, Digest] | None:
        reference = Reference.parse(text)
        try:
            known = json.loads(self._note(text).read_text())
            return str(known["name"]), Digest.parse(known["digest"])
        except (OSError, ValueError, KeyError, TypeError, QregError):
            if reference.digest is None or reference.scheme in ("file", "models"):
                return None
            return "/".join(reference.location.split("/")[-2:]), reference.digest

    def remember(self, text: str, name: str, digest: Digest) -> None:
        """Note what a reference named, for when nobody can be asked."""
        known = {"reference": text, "name": name, "digest": str(digest)}
        write_atomically(self._note(text), json.dumps(known).encode())

    def touch(self, folder: Path) -> None:
        """Note that what lies in a folder of the cache was used now."""
        write_atomically(self._used(folder), b"", durable=False)

    def list(self) -> list[Cached]:
        """All artifacts and parts, the ones used last first."""
        found = []
        for name in self.store.names():
            for revision in self.store.revisions(name):
                with suppress(FileNotFoundError):  # pruned meanwhile, as below
                    whole = self.whole(name, revision.digest)
                    if whole is not None:
                        found.append(self._cached(name, revision.digest, whole.folder))
        for folder in self.selected.all():
            with suppress(FileNotFoundError):
                name = folder.parent.relative_to(self.selected.root).as_posix()
                digest = Digest(folder.name.partition("-")[0])
                found.append(self._cached(name, digest, folder, part=True))
        return sorted(found, key=lambda cached: cached.used)

    def _cached(self, name: str, digest: Digest, folder: Path, *, part: bool = False) -> Cached:
        """What is said of a folder; raises FileNotFoundError if it is not there."""
        used = (folder / MANIFEST_FILE).stat().st_mtime
        with suppress(OSError):  # it was pulled, and not used since
            used = self._used(folder).stat().st_mtime
        files = [path for path in folder.rglob("*") if path.name != MANIFEST_FILE]
        size = sum(path.stat().st_size for path in files if path.is_file())
        return Cached(name, digest, folder, size, time.time() - used, part)

    def discard(self, cached: Cached) -> None:
        """Remove what lies in a folder of the cache, together with its damaged contents."""
        inside = {file.stat().st_ino for file in cached.folder.rglob("*") if file.is_file()}
        for path in self.store.blobs.all():
            if path.stat().st_ino in inside and not self.store.blobs.is_sound(path.name):
                path.unlink()
        self._remove(cached)

    def manifest(self, cached: Cached) -> Manifest:
        """The manifest of what lies in the cache; of a part, with the files of that part alone."""
        if cached.part:
            return self.selected.manifest(cached.folder)
        return self.store.snapshot(cached.name, digest=cached.digest).manifest

    def _remove(self, cached: Cached) -> None:
        if cached.part:
            self.store.take_away(cached.folder)
        else:
            self.store.remove(cached.name, cached.digest)

    def prune(self, *, unused: float, everything: bool = False, dry: bool = False) -> Pruned:
        """Remove what was not used for a while, and what was left of pulls that never ended.

        Args:
            unused: seconds.
            everything: whatever is there.
            dry: only say what would go.
        """
        old = tuple(c for c in self.list() if everything or c.used >= unused)
        if not self.store.exists:
            return Pruned(old, 0)
        going = _links(old) if dry else None
        if not dry:
            for cached in old:
                self._remove(cached)
            for folder in self._wrecks():
                self.store.take_away(folder)
        age = 0.0 if everything else unused
        return Pruned(old, collect(self.store.blobs, older_than=age, going=going))

    def _wrecks(self) -> Iterator[Path]:
        """Folders whose manifest was lost: nothing finds them any more."""
        found = (*self.store.root.glob("artifacts/*/*/*"), *self.selected.root.glob("*/*/*"))
        yield from (f for f in found if _is_revision(f) and not (f / MANIFEST_FILE).is_file())

    def _used(self, folder: Path) -> Path:
        return self.store.root / "used" / folder.name

    def _note(self, text: str) -> Path:
        name = hashlib.sha256(text.encode()).hexdigest()
        return self.store.root / "references" / f"{name}.json"


def _is_revision(folder: Path) -> bool:
    return is_sha256(folder.name.partition("-")[0])


def _links(artifacts: Iterable[Cached]) -> Counter[int]:
    """How many files of some artifacts each inode has."""
    files = (file for cached in artifacts for file in cached.folder.rglob("*"))
    return Counter(file.lstat().st_ino for file in files if file.is_file())
