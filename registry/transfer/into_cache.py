"""Files of an artifact in the cache: found there and checked, or received into it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from registry.artifact import FileEntry, Manifest
from registry.config import Settings
from registry.errors import IntegrityError, NotFoundError, TransferError
from registry.progress import Note, Observer
from registry.stores.blobs import require_space
from registry.transfer.cache import Cache
from registry.transfer.download import download
from registry.transfer.sources import Sources
from registry.transfer.verification import check_files

_ROUNDS = 3  # times that contents are fetched which a cleaner outside of qreg took away


def verified_in_cache(
    manifest: Manifest,
    files: tuple[FileEntry, ...],
    cache: Cache,
    settings: Settings,
    observe: Observer,
) -> Path | None:
    """Where files of an artifact lie in the cache: in the whole, or in a part that has just them.

    None if they are not there, are pruned meanwhile, or were damaged. What was damaged is removed,
    so that it is fetched again.
    """
    cached = cache.find(manifest, files)
    if cached is None:
        return None
    try:
        check_files(cached.folder, cache.manifest(cached), settings, observe)
    except (IntegrityError, NotFoundError, OSError) as error:
        if cache.find(manifest, files) is not None:
            if not isinstance(error, IntegrityError):
                raise
            observe(Note(f"{error.message}; what is damaged is fetched again", warning=True))
            cache.discard(cached)
        return None
    return cached.folder


def into_cache(
    manifest: Manifest,
    files: tuple[FileEntry, ...],
    sources: Sources,
    cache: Cache,
    settings: Settings,
    observe: Observer,
) -> Path:
    """Receive files of an artifact, as far as they are not there, and make them visible.

    Returns:
        The folder that they lie in.

    Raises:
        IntegrityError, TransferError, NotFoundError, NotAllowedError: as `download`.
    """
    store = cache.store
    store.prepare()
    with store.blobs.in_use():
        for _ in range(_ROUNDS):
            missing = [e for e in files if not store.blobs.trusts(e.sha256, e.size)]
            what = f"Pulling {manifest.name}"
            require_space(store.root, sum(entry.size for entry in missing), what)
            download(files, sources, store.blobs, observe=observe)
            try:
                folder = cache.commit(manifest, files)
                # What was just received is hashed; what was planted meanwhile is not.
                check_files(folder, replace(manifest, files=files), settings, observe)
                return folder
            except (FileNotFoundError, NotFoundError) as error:
                vanished = error
    raise TransferError(
        f"Files of {manifest.name} vanish from {store.root} while it is pulled",
        remedy="Find out what removes files there; `qreg cache prune` waits.",
    ) from vanished
