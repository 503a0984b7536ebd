"""Which backend a store's URL leads to."""

from __future__ import annotations

from pathlib import Path

from registry.errors import IncompatibleError
from registry.hub.backends.bucket import BucketBackend
from registry.hub.backends.folder import FolderBackend
from registry.hub.backends.interface import Backend
from registry.stores import Store
from registry.stores.local import LocalStore
from registry.stores.s3 import S3Store


def open_backend(store: Store, states: Path, state: Path | None = None) -> Backend:
    """What keeps a hub's repositories in a store.

    Args:
        store: a registry in a folder or in a bucket.
        states: holds a folder of state for each bucket that a hub is served from.
        state: the folder to use instead.

    Raises:
        IncompatibleError: a hub cannot be served from such a store.
    """
    if isinstance(store, LocalStore):
        return FolderBackend(store, state)
    if isinstance(store, S3Store):
        return BucketBackend(store, state or states / store.url.replace("://", "/"))
    raise IncompatibleError(
        f"A hub cannot be served from {store.url}",
        remedy="Name a folder, file:///path, or a bucket, s3://BUCKET/PREFIX .",
    )
