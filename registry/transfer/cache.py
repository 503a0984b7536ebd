"""The cache: artifacts that were pulled, in the layout of a registry, and what they were called.

QREG_CACHE/pulled/…                a registry in a folder (see `stores.local`)
QREG_CACHE/pulled/used/…           touched when an artifact is pulled or served
QREG_CACHE/pulled/references/…     which digest a reference had when it was last pulled
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from registry.artifact import MANIFEST_FILE, Digest, Manifest
from registry.config import Settings
from registry.errors import QregError
from registry.files import write_atomically
from registry.reference import Reference
from registry.stores.local import LocalStore
from registry.stores.local_snapshot import LocalSnapshot


@dataclass(frozen=True)
class Cached:
    """An artifact in the cache.

    Attributes:
        name: ORG/NAME.
        digest: of the payload.
        folder: where it lies.
        size: of all its files, in bytes; other artifacts may share some of them.
        used: seconds since it was last pulled or served.
    """

    name: str
    digest: Digest
    folder: Path
    size: int
    used: float


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
        self.store = LocalStore(settings.cache / "pulled")

    def find(self, name: str, digest: Digest) -> LocalSnapshot | None:
        """An artifact that is in the cache, or None."""
        return self.store.find(name, digest)

    def recall(self, text: str) -> LocalSnapshot | None:
        """What a reference named when it was last pulled, if that is still in the cache."""
        reference = Reference.parse(text)
        try:
            known = json.loads(self._note(text).read_text())
            name, digest = known["name"], Digest.parse(known["digest"])
        except (OSError, ValueError, KeyError, TypeError, QregError):
            if reference.digest is None or reference.scheme in ("file", "models"):
                return None
            name = "/".join(reference.location.split("/")[-2:])
            digest = reference.digest
        return self.find(name, digest)

    def remember(self, text: str, name: str, digest: Digest) -> None:
        """Note what a reference named, for when nobody can be asked."""
        known = {"reference": text, "name": name, "digest": str(digest)}
        write_atomically(self._note(text), json.dumps(known).encode())

    def touch(self, snapshot: LocalSnapshot) -> None:
        """Note that an artifact was used now."""
        write_atomically(self._used(snapshot.manifest.digest), b"")

    def list(self) -> list[Cached]:
        """All artifacts, the ones used last first."""
        found = []
        for name in self.store.names():
            for revision in self.store.revisions(name):
                snapshot = self.find(name, revision.digest)
                if snapshot is None:
                    continue  # pruned meanwhile, as below
                try:
                    size = snapshot.manifest.size
                    used = self._unused_for(revision.digest, snapshot.folder)
                except FileNotFoundError:
                    continue
                found.append(Cached(name, revision.digest, snapshot.folder, size, used))
        return sorted(found, key=lambda cached: cached.used)

    def discard(self, name: str, digest: Digest, folder: Path) -> None:
        """Remove an artifact in its folder, together with its damaged contents."""
        inside = {file.stat().st_ino for file in folder.rglob("*") if file.is_file()}
        for path in self.store.blobs.all():
            if path.stat().st_ino in inside and not self.store.blobs.is_sound(path.name):
                path.unlink()
        self.store.remove(name, digest)

    def manifest(self, cached: Cached) -> Manifest:
        """The manifest of an artifact in the cache."""
        return self.store.snapshot(cached.name, digest=cached.digest).manifest

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
                self.store.remove(cached.name, cached.digest)
        age = 0.0 if everything else unused
        return Pruned(old, self.store.blobs.collect(older_than=age, going=going))

    def _used(self, digest: Digest) -> Path:
        return self.store.root / "used" / digest.hex

    def _unused_for(self, digest: Digest, folder: Path) -> float:
        """Seconds since an artifact was used, or else committed."""
        try:
            return time.time() - self._used(digest).stat().st_mtime
        except OSError:
            return time.time() - (folder / MANIFEST_FILE).stat().st_mtime

    def _note(self, text: str) -> Path:
        name = hashlib.sha256(text.encode()).hexdigest()
        return self.store.root / "references" / f"{name}.json"


def _links(artifacts: Iterable[Cached]) -> Counter[int]:
    """How many files of some artifacts each inode has."""
    files = (file for cached in artifacts for file in cached.folder.rglob("*"))
    return Counter(file.lstat().st_ino for file in files if file.is_file())
