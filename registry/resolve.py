"""From a reference to what it names: an artifact's folder, or a snapshot in a store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from registry.artifact import Digest, Manifest
from registry.config import Settings
from registry.describe import describe_folder, read_manifest
from registry.errors import IntegrityError, NotFoundError
from registry.progress import Observer, ignore
from registry.reference import Reference
from registry.stores import Snapshot, open_store


@dataclass(frozen=True)
class Resolved:
    """What a reference names: a snapshot in a store, or a plain folder."""

    reference: str
    snapshot: Snapshot | None
    folder: Path | None

    def manifest(self, observe: Observer = ignore) -> Manifest:
        """The manifest; for a folder that carries none it is derived, reading every byte."""
        if self.snapshot is not None:
            return self.snapshot.manifest
        assert self.folder is not None
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
    store = open_store(settings.registry if not reference.scheme else f"{reference.scheme}://")
    snapshot = store.snapshot(
        reference.location, revision=reference.revision, digest=reference.digest
    )
    return Resolved(snapshot.reference, snapshot, snapshot.folder)


def _resolve_path(reference: Reference) -> Resolved:
    from registry.stores.local import find_store

    path = Path(reference.location)
    found = find_store(path)
    if found is not None:
        store, name = found
        parts = name.split("/")
        if len(parts) == 4 and parts[0] == "artifacts":  # the revision's own folder
            snapshot = store.snapshot("/".join(parts[1:3]), digest=Digest(parts[3]))
            return Resolved(snapshot.reference, snapshot, snapshot.folder)
        if name.count("/") != 1:
            raise NotFoundError(
                f"{path} is a registry, not an artifact in it",
                remedy="Append /ORG/NAME; `qreg list` shows the names.",
            )
        snapshot = store.snapshot(name, revision=reference.revision, digest=reference.digest)
        return Resolved(snapshot.reference, snapshot, snapshot.folder)
    if not path.exists():
        raise NotFoundError(
            f"{path} does not exist", remedy="Check the path; a registry's name is ORG/NAME."
        )
    if reference.revision:
        raise NotFoundError(
            f"{path} is a plain folder and has no revision {reference.revision!r}",
            remedy="Name the folder alone, or an artifact in a registry.",
        )
    return Resolved(str(path), None, path)


def _pinned(resolved: Resolved, digest: Digest | None) -> Resolved:
    if digest is None:
        return resolved
    if resolved.snapshot is not None:
        found = resolved.snapshot.manifest.digest
    else:  # a folder's own manifest is only a claim: the pin is checked against the bytes
        assert resolved.folder is not None
        found = describe_folder(resolved.folder).digest
    if found != digest:
        raise IntegrityError(
            f"{resolved.reference} is {found}, but {digest} is pinned",
            remedy="The artifact was replaced under its name; check where it comes from before "
            "you use it.",
        )
    return resolved
