"""A revision in a bucket, for reading."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING

from registry.artifact import Digest, Manifest
from registry.errors import IntegrityError
from registry.folder import Entry
from registry.names import check_path
from registry.payload import MANIFEST_FILE
from registry.stores.interface import Snapshot
from registry.transport import Stream

if TYPE_CHECKING:
    from registry.stores.s3.store import S3Store

_MEND = "Publish the intact origin to this bucket again, which mends it."


class S3Snapshot(Snapshot):
    """A revision in a bucket."""

    def __init__(self, store: S3Store, name: str, digest: Digest) -> None:
        self._store, self._name, self._digest = store, name, digest
        self._transport = store.transport
        self.patience = store.bucket.patience

    @property
    def reference(self) -> str:
        return f"{self._store.url}/{self._name}@{self._digest}"

    @cached_property
    def manifest(self) -> Manifest:
        try:
            return self._read_manifest()
        except IntegrityError:
            return self._read_manifest()  # it may have been damaged on its way

    def _read_manifest(self) -> Manifest:
        content = self._store.bucket.get(self._key(MANIFEST_FILE))
        try:
            manifest = Manifest.from_bytes(content)
        except IntegrityError as error:
            raise IntegrityError(
                f"The manifest of {self.reference} is damaged: {error.message}", remedy=_MEND
            ) from error
        if manifest.digest != self._digest:
            raise IntegrityError(
                f"{self.reference} holds the manifest of {manifest.digest}",
                remedy=_MEND,
            )
        return manifest

    def entries(self) -> Sequence[Entry]:
        return [Entry(file.path, file.size, sha256=file.sha256) for file in self.manifest.files]

    def stream(self, path: str, offset: int, length: int) -> AbstractContextManager[Stream]:
        url = self._store.bucket.address(self._key(path))
        what = f"{path} of {self._store.url}/{self._name}"
        size = next((e.size for e in self.manifest.files if e.path == path), None)
        return self._transport.stream(what, url, offset, length, size)

    def _key(self, path: str) -> str:
        return f"{self._store.home(self._name)}{self._digest.hex}/{check_path(path)}"
