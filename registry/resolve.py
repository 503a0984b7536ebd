"""From a reference to what it names: an artifact's folder, or a snapshot in a store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from registry.artifact import Digest, Manifest
from registry.checkpoint import LocalSource, Source
from registry.config import Settings
from registry.describe import describe_folder, read_manifest
from registry.errors import IncompatibleError, IntegrityError, NotFoundError
from registry.listing import require_digest
from registry.progress import Observer, ignore
from registry.reference import Reference
from registry.stores import Snapshot, open_store
from registry.stores.snapshot_source import SnapshotSource


@dataclass(frozen=True)
class Resolved:
    """What a reference names: a snapshot in a store, a plain folder, or a hub's repository.

    Attributes:
        reference: finds exactly this again.
        snapshot: in a store; None for a folder or a hub.
        folder: where the files lie on this machine; None if they do not.
        source: its metadata, read from where it is.
    """

    reference: str
    snapshot: Snapshot | None
    folder: Path | None
    source: Source

    @classmethod
    def of_folder(cls, folder: Path) -> Resolved:
        """A plain folder."""
        return cls(str(folder), None, folder, LocalSource(folder))

    @classmethod
    def of_snapshot(cls, snapshot: Snapshot) -> Resolved:
        """A snapshot in a store, on this machine or not."""
        folder = snapshot.folder
        source: Source = LocalSource(folder) if folder else SnapshotSource(snapshot)
        return cls(snapshot.reference, snapshot, folder, source)

    def manifest(self, observe: Observer = ignore) -> Manifest:
        """The manifest; for a folder that carries none it is derived, reading every byte.

        Raises:
            IncompatibleError: it is on a hub; its manifest comes with pulling it.
        """
        if self.snapshot is not None:
            return self.snapshot.manifest
        if self.folder is None:
            raise IncompatibleError(
                f"{self.reference} is not on this machine",
                remedy="`qreg inspect` and `qreg lint` read it where it is; bring it here for "
                "anything else.",
            )
        return read_manifest(self.folder) or describe_folder(self.folder, observe=observe)


def resolve(text: str, settings: Settings) -> Resolved:
    """Find what a reference names.

    Raises:
        UsageError: the reference is malformed.
        NotFoundError: nothing of that name, tag or digest exists.
        IntegrityError: what was found has another digest than the one pinned.
    """
    reference = Reference.parse(text)
    if reference.scheme == "models":
        from registry.tracking.models import resolve_model

        target, digest = resolve_model(reference, settings)
        return _pinned(_pinned(resolve(target, settings), digest), reference.digest)
    if reference.scheme == "file":
        return _pinned(_resolve_path(reference), reference.digest)
    if reference.scheme == "hf":
        from registry.stores.huggingface import HuggingFaceSource

        source = HuggingFaceSource(reference.location, reference.revision)
        return _pinned(Resolved(source.label, None, None, source), reference.digest)
    store = open_store(settings.registry if not reference.scheme else f"{reference.scheme}://")
    snapshot = store.snapshot(
        reference.location, revision=reference.revision, digest=reference.digest
    )
    return Resolved.of_snapshot(snapshot)


def _resolve_path(reference: Reference) -> Resolved:
    from registry.stores.local import find_store

    path = Path(reference.location)
    found = find_store(path)
    if found is not None:
        store, name = found
        parts = name.split("/")
        if len(parts) == 4 and parts[0] == "artifacts":  # the revision's own folder
            snapshot = store.snapshot("/".join(parts[1:3]), digest=Digest(parts[3]))
            return Resolved.of_snapshot(snapshot)
        if name.count("/") != 1:
            raise NotFoundError(
                f"{path} is a registry, not an artifact in it",
                remedy="Append /ORG/NAME; `qreg list` shows the names.",
            )
        snapshot = store.snapshot(name, revision=reference.revision, digest=reference.digest)
        return Resolved.of_snapshot(snapshot)
    if not path.exists():
        raise NotFoundError(
            f"{path} does not exist", remedy="Check the path; a registry's name is ORG/NAME."
        )
    if reference.revision:
        raise NotFoundError(
            f"{path} is a plain folder and has no revision {reference.revision!r}",
            remedy="Name the folder alone, or an artifact in a registry.",
        )
    return Resolved.of_folder(path)


def _pinned(resolved: Resolved, digest: Digest | None) -> Resolved:
    if digest is None:
        return resolved
    if resolved.snapshot is not None:
        found = resolved.snapshot.manifest.digest
    elif resolved.folder is not None:
        # A folder's own manifest is only a claim: the pin is checked against the bytes.
        found = describe_folder(resolved.folder).digest
    else:
        found = require_digest(resolved.source)
    if found != digest:
        raise IntegrityError(
            f"{resolved.reference} is {found}, but {digest} is pinned",
            remedy="The artifact was replaced under its name; check where it comes from before "
            "you use it.",
        )
    return resolved
