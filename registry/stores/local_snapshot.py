"""A revision in a registry's folder, for reading."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from registry.artifact import Digest, Manifest
from registry.errors import IntegrityError, NotFoundError, QregError, TransferError
from registry.files import open_below
from registry.folder import Entry, scan_folder
from registry.listing import MAX_MANIFEST
from registry.names import check_path
from registry.payload import MANIFEST_FILE
from registry.stores.interface import Snapshot
from registry.transport import Stream

MEND = "Publish the intact origin to this registry again, which mends it."


class LocalSnapshot(Snapshot):
    """A revision's folder."""

    def __init__(self, url: str, name: str, folder: Path) -> None:
        self._url, self._name, self._folder = url, name, folder
        self._manifest: Manifest | None = None

    @property
    def reference(self) -> str:
        return f"{self._url}/{self._name}@sha256:{self._folder.name}"

    @property
    def manifest(self) -> Manifest:
        if self._manifest is None:
            path = self._folder / MANIFEST_FILE
            try:
                manifest = stored_manifest(self._folder)
            except IntegrityError as error:
                raise IntegrityError(f"{path} is damaged: {error.message}", remedy=MEND) from error
            if manifest.digest.hex != self._folder.name:
                raise IntegrityError(
                    f"{self._folder} holds the manifest of {manifest.digest}",
                    remedy=MEND,
                )
            self._manifest = manifest
        return self._manifest

    @property
    def folder(self) -> Path:
        return self._folder

    def entries(self) -> list[Entry]:
        return [_stored(entry) for entry in scan_folder(self._folder)]

    @contextmanager
    def stream(self, path: str, offset: int, length: int) -> Iterator[Stream]:
        try:
            file = open_below(self._folder, check_path(path))
        except FileNotFoundError as error:
            raise NotFoundError(f"{self.reference} has no file {path!r}") from error
        except OSError as error:
            raise TransferError(f"{path} of {self.reference} cannot be read: {error}") from error
        with file:
            file.seek(offset)
            yield file


def _stored(entry: Entry) -> Entry:
    """An entry of a revision's folder; a registry stores no links."""
    if entry.link is None or entry.problem:
        return entry
    return replace(entry, problem=f"{entry.path} is a link to {entry.link}, in a registry")


def stored_manifest(folder: Path) -> Manifest:
    """The manifest in a revision's folder.

    Raises:
        FileNotFoundError: there is none.
        IntegrityError: it is damaged, too large, or no file of its own.
    """
    with open_below(folder, MANIFEST_FILE) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_MANIFEST:
            raise IntegrityError(f"{MANIFEST_FILE} has {size} bytes: too large")
        return Manifest.from_bytes(file.readall())


def stands(folder: Path, digest: Digest) -> bool:
    """Whether a revision's manifest is there and its own."""
    try:
        return stored_manifest(folder).digest == digest
    except (OSError, QregError):
        return False
