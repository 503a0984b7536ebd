"""Pulling: bring an artifact to this machine and check every byte of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from registry.artifact import FileEntry, Manifest
from registry.config import Settings
from registry.describe import read_manifest
from registry.errors import IncompatibleError, IntegrityError, QregError, TransferError
from registry.files import open_below, remove_tree, require_own, write_atomically
from registry.folder import require_folder, sha256_file
from registry.payload import MANIFEST_FILE
from registry.progress import Note, Observer, Progress, ignore
from registry.resolve import Resolved, alternatives, resolve
from registry.staging import require_fresh, require_unused, staged_folder
from registry.stores import Snapshot
from registry.stores.blobs import Blobs, require_space
from registry.stores.hashed import Hashed
from registry.stores.local_marker import registry_of
from registry.transfer.cache import Cache
from registry.transfer.download import download
from registry.transfer.into_cache import into_cache, verified_in_cache
from registry.transfer.selection import Selection
from registry.transfer.sources import Sources
from registry.transfer.verification import check_files

_CHUNK = 8 * 2**20


@dataclass(frozen=True)
class Pulled:
    """A verified artifact on this machine.

    Attributes:
        folder: where it lies.
        manifest: what it is.
        reference: finds exactly this again.
        files: what was pulled: all files of the manifest, unless some were selected.
    """

    folder: Path
    manifest: Manifest
    reference: str
    files: tuple[FileEntry, ...] = ()


def pull(
    text: str,
    settings: Settings,
    *,
    output: Path | None = None,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    observe: Observer = ignore,
) -> Pulled:
    """Bring an artifact here and verify the sha256 of every file.

    Without `output` an artifact that lies on this machine, in a folder or a local registry, is
    verified where it is; any other comes into the cache, where equal files are kept once. A
    verification is remembered until a file changes. What a killed pull received is used by the
    next one.

    Args:
        text: a reference.
        settings: where the registry, the cache and further sources are.
        output: a new or empty folder for a copy of its own.
        include: patterns of the files that are wanted. Default: all.
        exclude: patterns of the files that are not.
        observe: is told the bytes verified or moved.

    Raises:
        UsageError: `output` is not empty.
        NotFoundError: the reference names nothing, or nothing is selected.
        IntegrityError: a file is not what the manifest says, and no other source has it, or a name
            in a listing is unsafe; nothing is left in `output`.
        TransferError: no source could deliver; what arrived is kept for the next pull.
    """
    selection = Selection.of(include, exclude)
    if output is not None:
        require_fresh(output)
    cache = Cache(settings)
    if settings.offline and selection:
        part = _part_here(text, selection, cache, settings, output, observe)
        if part is not None:
            return part
    resolved = _resolve(text, settings, cache, observe)
    try:
        return _pull_from(text, resolved, selection, settings, output, observe)
    except IntegrityError as error:
        if resolved.folder is None or resolved.snapshot is None:
            raise  # other sources were tried, or there are none for a plain folder
        return _elsewhere(text, resolved.snapshot, error, selection, settings, output, observe)


def _pull_from(
    text: str,
    resolved: Resolved,
    selection: Selection,
    settings: Settings,
    output: Path | None,
    observe: Observer,
) -> Pulled:
    manifest = resolved.manifest(observe)
    files = selection.of_files(manifest.files)
    if resolved.folder is None:
        assert resolved.snapshot is not None
        return _fetch(text, resolved.snapshot, manifest, files, settings, output, observe)
    if output is None:
        # A manifest that was just derived from the files needs no comparison with them.
        if resolved.snapshot is not None or read_manifest(resolved.folder) is not None:
            check_files(resolved.folder, manifest, settings, observe)
        return Pulled(resolved.folder, manifest, resolved.reference, files)
    _copy(resolved.folder, manifest, files, output, observe)
    return Pulled(output, manifest, resolved.reference, files)


def _elsewhere(
    text: str,
    damaged: Snapshot,
    error: IntegrityError,
    selection: Selection,
    settings: Settings,
    output: Path | None,
    observe: Observer,
) -> Pulled:
    """Go on with other sources of the digest that a damaged copy on this machine should have."""
    try:
        name, digest = damaged.manifest.name, damaged.manifest.digest
    except IntegrityError:
        raise error from None
    for other in alternatives(name, digest, settings, but=damaged.reference):
        observe(Note(f"{error.message}; going on with {other.reference}", warning=True))
        with suppress(QregError):
            resolved = Resolved.of_snapshot(other)
            return _pull_from(text, resolved, selection, settings, output, observe)
    raise error


def bring_here(text: str, settings: Settings, observe: Observer = ignore) -> str:
    """A reference to what another one names, on this machine: pulled, if it is not here yet."""
    resolved = _resolve(text, settings, Cache(settings), observe)
    if resolved.folder is not None:
        return resolved.reference
    return str(pull(text, settings, observe=observe).folder)


def find_here(text: str, settings: Settings) -> Resolved:
    """What a reference names, as it lies on this machine; nothing is moved.

    Raises:
        IncompatibleError: it is elsewhere, and was not pulled yet.
    """
    cache = Cache(settings)
    resolved = _resolve(text, settings, cache, ignore)
    snapshot = resolved.snapshot
    if resolved.folder is not None or snapshot is None:
        return resolved
    here = cache.whole(snapshot.manifest.name, snapshot.manifest.digest)
    if here is None:
        raise IncompatibleError(
            f"{resolved.reference} is not on this machine",
            remedy=f"qreg pull {text} brings it here; inspect and lint read it where it is.",
        )
    return Resolved.of_snapshot(here)


def _resolve(text: str, settings: Settings, cache: Cache, observe: Observer) -> Resolved:
    if not settings.offline:
        return resolve(text, settings, readable=True, observe=observe)
    known = cache.recall(text)
    if known is not None:
        return Resolved.of_snapshot(known)
    return resolve(text, settings, readable=True, observe=observe)


def _part_here(
    text: str,
    selection: Selection,
    cache: Cache,
    settings: Settings,
    output: Path | None,
    observe: Observer,
) -> Pulled | None:
    """What was selected of a reference when it could be asked; None if that is not in the cache."""
    manifest = cache.recall_part(text, selection)
    files = selection.of_files(manifest.files) if manifest else ()
    cached = cache.find(manifest, files) if manifest else None
    if manifest is None or cached is None:
        return None
    check_files(cached.folder, cache.manifest(cached), settings, observe)
    cache.touch(cached.folder)
    if output is not None:
        _copy(cached.folder, manifest, files, output, observe)
    return Pulled(output or cached.folder, manifest, f"{manifest.name}@{manifest.digest}", files)


def _fetch(
    text: str,
    snapshot: Snapshot,
    manifest: Manifest,
    files: tuple[FileEntry, ...],
    settings: Settings,
    output: Path | None,
    observe: Observer,
) -> Pulled:
    """Bring a remote artifact into the cache or into `output`."""
    cache = Cache(settings)
    further = alternatives(manifest.name, manifest.digest, settings, but=snapshot.reference)
    sources = Sources(snapshot, further)
    folder = verified_in_cache(manifest, files, cache, settings, observe)
    if folder is None and output is None:
        folder = into_cache(manifest, files, sources, cache, settings, observe)
    if folder is not None:
        cache.touch(folder)
        cache.remember(text, manifest.name, manifest.digest)
        if output is None:
            return Pulled(folder, manifest, snapshot.reference, files)
        try:
            _copy(folder, manifest, files, output, observe)
            remove_tree(_received(output))  # of a pull that was stopped
        except TransferError:
            if cache.find(manifest, files) is not None:
                raise
            folder = None  # pruned meanwhile
    assert output is not None
    if folder is None:
        _into_folder(manifest, files, sources, output, observe)
    return Pulled(output, manifest, snapshot.reference, files)


def _into_folder(
    manifest: Manifest,
    files: tuple[FileEntry, ...],
    sources: Sources,
    output: Path,
    observe: Observer,
) -> None:
    """Receive files beside `output` and move them there when all of them are right."""
    output = output.absolute()
    received = _received(output)
    require_own(received, "What was received before, in")
    blobs = Blobs(received, private=True)
    require_space(output.parent, sum(entry.size for entry in files), f"Pulling {manifest.name}")
    try:
        with staged_folder(output) as staging:
            download(files, sources, blobs, observe=observe)
            seen: dict[str, Path] = {}
            for entry in files:
                target = staging / entry.path
                target.parent.mkdir(parents=True, exist_ok=True)
                require_unused(target)
                if entry.sha256 in seen:
                    shutil.copyfile(seen[entry.sha256], target)
                else:
                    os.replace(blobs.path(entry.sha256), target)
                    seen[entry.sha256] = target
                target.chmod(0o644)
            write_atomically(staging / MANIFEST_FILE, manifest.to_bytes())
    except OSError as error:
        raise TransferError(
            f"Writing {manifest.name} to {output} failed: {error}",
            remedy="Check free space and permissions, then pull again: what arrived is kept.",
        ) from error
    remove_tree(received)


def _received(output: Path) -> Path:
    """Where contents for an output arrive."""
    output = output.absolute()
    return output.parent / f".{output.name}.qreg-received"


def _copy(
    source: Path,
    manifest: Manifest,
    files: tuple[FileEntry, ...],
    output: Path,
    observe: Observer,
) -> None:
    registry = registry_of(require_folder(source))
    try:
        with staged_folder(output) as staging:
            done, total = 0, sum(entry.size for entry in files)
            for entry in files:
                observe(Progress("pulling", done, total, "bytes", entry.path))
                _copy_file(source, entry, staging, registry)
                done += entry.size
            observe(Progress("pulling", total, total, "bytes"))
            write_atomically(staging / MANIFEST_FILE, manifest.to_bytes())
    except OSError as error:
        raise TransferError(
            f"Copying {manifest.name} to {output} failed: {error}",
            remedy="Check free space and permissions, then pull again.",
        ) from error


def _copy_file(source: Path, entry: FileEntry, staging: Path, registry: Path | None) -> None:
    target = staging / entry.path
    target.parent.mkdir(parents=True, exist_ok=True)
    require_unused(target)
    # A registry stores no links; a plain folder may, as the Hugging Face cache does.
    opened = open_below(source, entry.path) if registry else FileIO(source / entry.path)
    with opened as reader, target.open("wb") as writer:
        shutil.copyfileobj(reader, writer, _CHUNK)
    found = sha256_file(target)
    if found != entry.sha256:
        if registry is not None:
            Hashed(registry).forget(entry.sha256)
        raise IntegrityError(
            f"{source / entry.path} has sha256 {found}, the manifest says {entry.sha256}",
            remedy="The stored file is damaged; publish the artifact again from its origin.",
        )
