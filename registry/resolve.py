"""From a reference to what it names: an artifact's folder, or a snapshot in a store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from registry.artifact import Digest, Manifest
from registry.config import Settings
from registry.describe import describe_folder, read_manifest
from registry.errors import (
    IntegrityError,
    NotFoundError,
    QregError,
    UncertainError,
)
from registry.lookup import Place, Wanted, asking, search
from registry.progress import Note, Observer, ignore
from registry.reference import Reference
from registry.source import LocalSource, Source
from registry.stores import Snapshot, is_public_hub, not_here, open_store
from registry.stores.hub_snapshot import HubSnapshot

if TYPE_CHECKING:
    from registry.stores.local import LocalStore


@dataclass(frozen=True)
class Resolved:
    """What a reference names: a snapshot in a store or on a hub, or a plain folder.

    Attributes:
        reference: finds exactly this again.
        snapshot: in a store or on a hub; None for a folder.
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
        return cls(
            snapshot.reference, snapshot, folder, LocalSource(folder) if folder else snapshot
        )

    def manifest(self, observe: Observer = ignore) -> Manifest:
        """The manifest; for a folder that carries none it is derived, reading every byte."""
        if self.snapshot is not None:
            manifest = self.snapshot.manifest
            if isinstance(self.snapshot, HubSnapshot) and self.snapshot.doubt:
                observe(Note(self.snapshot.doubt, warning=True))
            return manifest
        assert self.folder is not None
        return read_manifest(self.folder) or describe_folder(self.folder, observe=observe)


def resolve(
    text: str, settings: Settings, *, readable: bool = False, observe: Observer = ignore
) -> Resolved:
    """Find what a reference names.

    Args:
        text: a reference.
        settings: where ORG/NAME is looked for.
        readable: a place that lists ORG/NAME and whose manifest cannot be read is passed over.
        observe: is told which places could not be asked, before the one that was believed.

    Raises:
        UsageError: the reference is malformed.
        NotFoundError: nothing of that name, tag or digest exists.
        IntegrityError: what was found has another digest than the one pinned.
        TransferError, NotAllowedError: a place that may have it does not answer, or refuses; see
            `lookup` for when the next one is asked in its stead.
    """
    reference = Reference.parse(text)
    if reference.scheme == "file":
        return _pinned(_resolve_path(reference), reference.digest)
    if not reference.scheme:
        return _pinned(_search(reference, settings, readable, observe), reference.digest)
    if settings.offline and not (reference.scheme == "models" and settings.embedded_registry):
        raise not_here(str(reference))
    url = _url_of(reference)
    if not _is_here(url, settings):
        observe(asking(url))
    return _pinned(_resolve_in(url, reference, settings), reference.digest)


def _url_of(reference: Reference) -> str:
    """The store that a reference with a scheme names."""
    if reference.scheme == "s3":
        return f"s3://{reference.location.rsplit('/', 2)[0]}"
    return "models:/" if reference.scheme == "models" else f"{reference.scheme}://"


def _resolve_in(url: str, reference: Reference, settings: Settings) -> Resolved:
    """Find a reference in one place; its name is the last two parts of its location."""
    if url == "models:/":
        from registry.tracking.models import resolve_model

        named = replace(reference, scheme="models")
        target, digest = resolve_model(named, settings)
        if target.startswith("models:"):
            raise IntegrityError(f"{named} refers to {target}, another entry of MLflow")
        with _uncertain(str(named)):
            return _pinned(resolve(target, settings), digest)
    name = "/".join(reference.location.split("/")[-2:])
    snapshot = open_store(url).snapshot(name, revision=reference.revision, digest=reference.digest)
    return Resolved.of_snapshot(snapshot)


def _search(
    reference: Reference, settings: Settings, readable: bool, observe: Observer
) -> Resolved:
    """Look for ORG/NAME in the configured places, in order (`search`)."""

    def ask(url: str) -> Resolved:
        if _is_away(url, settings):
            raise UncertainError(
                f"{url} is no registry", remedy="Mount its disk, or publish there first."
            )
        found = _pinned(_resolve_in(url, reference, settings), reference.digest)
        if readable and found.snapshot is not None:
            with _uncertain(found.reference):
                found.manifest()  # is kept by the snapshot
        return found

    known = [url for url in settings.sources if _may_be_asked(url, settings)]
    places = [Place(url, here=_is_here(url, settings)) for url in known]
    wanted = Wanted(
        str(reference), pinned=reference.digest is not None, lenient=settings.allow_fallback
    )
    found = search(wanted, places, ask, observe)
    if reference.digest is None and Place("models:/", here=True) in places:
        _tell_of_another(found, reference, settings, observe)
    return found


def _tell_of_another(
    found: Resolved, reference: Reference, settings: Settings, observe: Observer
) -> None:
    """Say where the MLflow of this machine knows another artifact under a public hub's name.

    Hubs are asked first, and anyone may register a name on a public one.
    """
    url = f"{found.reference.partition('://')[0]}://"
    if found.snapshot is None or not is_public_hub(url):
        return
    from registry.tracking.models import resolve_model

    entry = replace(reference, scheme="models")
    try:
        target, digest = resolve_model(entry, settings)
        if digest == _digest_of(found.snapshot):
            return
    except QregError:
        return  # it has none that could be meant
    text = (
        f"{found.reference} is taken, and MLflow knows another artifact of that name, "
        f"{digest.short} in {target}; say {entry} for that one"
    )
    observe(Note(text, warning=True))


def _digest_of(snapshot: Snapshot) -> Digest:
    return snapshot.digest if isinstance(snapshot, HubSnapshot) else snapshot.manifest.digest


def _may_be_asked(url: str, settings: Settings) -> bool:
    if url == "models:/" and settings.embedded_registry:
        return not settings.offline and settings.mlflow.exists()
    return url.startswith("file://") or not settings.offline


def _is_here(url: str, settings: Settings) -> bool:
    return url.startswith("file://") or (url == "models:/" and settings.embedded_registry)


def _is_away(url: str, settings: Settings) -> bool:
    """Whether a folder that somebody has named is no registry: its disk may not be mounted.

    The registry in the data folder is there from the first publication on.
    """
    if not url.startswith("file://") or url == f"file://{settings.data / 'registry'}":
        return False
    return not open_store(url).exists


@contextmanager
def _uncertain(reference: str) -> Iterator[None]:
    """What lacks in something that a place has is no sign that the place does not have it."""
    try:
        yield
    except NotFoundError as error:
        raise UncertainError(
            f"{reference} cannot be used: {error.message}", remedy=error.remedy
        ) from error


def alternatives(name: str, digest: Digest, settings: Settings, *, but: str) -> Iterator[Snapshot]:
    """Other configured sources that hold the same artifact, opened one by one.

    Args:
        name: ORG/NAME.
        digest: that they must have.
        settings: name the sources.
        but: the reference in use already.
    """
    for url in settings.sources:
        if url == "models:/" or (settings.offline and not url.startswith("file://")):
            continue
        try:
            snapshot = open_store(url).snapshot(name, digest=digest)
            if snapshot.reference != but and snapshot.manifest.digest == digest:
                yield snapshot
        except QregError:
            continue  # it does not have it, or cannot be asked


def _resolve_path(reference: Reference) -> Resolved:
    path = Path(reference.location)
    found = _registry_around(path)
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


def _registry_around(path: Path) -> tuple[LocalStore, str] | None:
    """Split `ROOT/ORG/NAME` into the registry that it lies in and the name; None outside one."""
    from registry.stores.local import LocalStore
    from registry.stores.local_marker import MARKER

    for root in (path, *path.parents):
        if (root / MARKER).is_file():
            rest = path.relative_to(root).as_posix()
            return LocalStore(root), "" if rest == "." else rest
    return None


def _pinned(resolved: Resolved, digest: Digest | None) -> Resolved:
    if digest is None:
        return resolved
    if resolved.snapshot is not None:
        found = _digest_of(resolved.snapshot)
    else:
        assert resolved.folder is not None
        # A folder's own manifest is only a claim: the pin is checked against the bytes.
        found = describe_folder(resolved.folder).digest
    if found != digest:
        raise IntegrityError(
            f"{resolved.reference} is {found}, but {digest} is pinned",
            remedy="The artifact was replaced under its name; check where it comes from before "
            "you use it.",
        )
    return resolved
