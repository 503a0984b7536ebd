"""Parts of artifacts in the cache: files of one that were selected, under their real names.

    ROOT/selected/ORG/NAME/DIGEST-PART/…   the files, linked to the contents that whole artifacts
                                           have, too, and the manifest of the whole

PART is made of what was selected, so that it is noticed if some of it is missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from registry.artifact import Digest, FileEntry, Manifest
from registry.errors import IntegrityError
from registry.names import check_name
from registry.payload import MANIFEST_FILE
from registry.stores.local import LocalStore


class Selected:
    """The parts in a cache.

    Args:
        store: keeps the contents.

    Attributes:
        root: the folder that they lie in.
    """

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self.root = store.root / "selected"

    def folder(self, manifest: Manifest, files: Sequence[FileEntry]) -> Path:
        """Where a part lies or would lie."""
        part = _part(files)
        return self.root / check_name(manifest.name) / f"{manifest.digest.hex}-{part}"

    def commit(self, manifest: Manifest, files: Sequence[FileEntry]) -> Path:
        """Make a part of contents that are all in the store already.

        Raises:
            FileNotFoundError: one of them is not.
        """
        target = self.folder(manifest, files)
        self._store.link(manifest, target, files)
        return target

    def all(self) -> Iterator[Path]:
        """The folders of all parts."""
        yield from sorted(path.parent for path in self.root.glob(f"*/*/*/{MANIFEST_FILE}"))

    def of(self, name: str, digest: Digest) -> Iterator[tuple[Path, Manifest]]:
        """The parts of one artifact, with the manifest of the whole."""
        for path in sorted((self.root / name).glob(f"{digest.hex}-*/{MANIFEST_FILE}")):
            with suppress(FileNotFoundError, IntegrityError):  # pruned meanwhile, or damaged
                yield path.parent, Manifest.from_bytes(path.read_bytes())

    def manifest(self, folder: Path) -> Manifest:
        """The manifest of a part: the digest of the whole, and the files that were selected.

        Raises:
            IntegrityError: some of them are missing.
        """
        whole = Manifest.from_bytes((folder / MANIFEST_FILE).read_bytes())
        files = tuple(entry for entry in whole.files if (folder / entry.path).is_file())
        if self.folder(whole, files).name != folder.name:
            raise IntegrityError(
                f"{folder} lacks files that were selected", remedy="Pull them again."
            )
        return replace(whole, files=files)


def _part(files: Sequence[FileEntry]) -> str:
    told = sorted(f"{entry.sha256} {entry.path}" for entry in files)
    return hashlib.sha256("\0".join(told).encode(errors="surrogateescape")).hexdigest()[:16]
