"""Publishing: describe the folder, move what the store lacks, commit last, tell MLflow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from registry.artifact import Manifest
from registry.config import Settings
from registry.describe import describe_folder, read_manifest
from registry.errors import UsageError
from registry.names import check_alias, check_name, check_tag
from registry.progress import Observer, ignore
from registry.stores import Published, Store, open_store
from registry.stores.local import LocalStore
from registry.tracking.release import DEFAULT_ALIAS, announce
from registry.transfer.verification import compare, raise_faults


@dataclass(frozen=True)
class Publication:
    """What was published, and where it can be found from now on."""

    published: Published
    manifest: Manifest
    reference: str


def publish(
    folder: Path,
    settings: Settings,
    *,
    name: str = "",
    to: str = "",
    tags: Iterable[str] = (),
    alias: str = DEFAULT_ALIAS,
    describe_anew: bool = False,
    observe: Observer = ignore,
) -> Publication:
    """Publish a checkpoint's folder; the folder itself is never written to.

    Args:
        folder: a checkpoint, with or without `qreg.json`.
        settings: where the default registry is.
        name: ORG/NAME; default: the name in the folder's manifest.
        to: URL of a store; default: the default registry.
        tags: set on the new revision besides `latest`.
        alias: of the model version in MLflow.
        describe_anew: publish files that the folder's own manifest contradicts, as something new
            without that manifest's provenance.
        observe: is told the bytes hashed and moved.

    Raises:
        NotFoundError, IntegrityError: the folder is not a whole checkpoint, or not the one that
            its manifest describes.
        UsageError: an invalid name or tag.
        TransferError: the store could not take it; nothing of it is visible then.
    """
    tags = tuple(check_tag(tag) for tag in tags)
    check_alias(alias)
    if name:
        check_name(name)
    store: Store = open_store(to or settings.registry)
    if isinstance(store, LocalStore) and store.root.resolve().is_relative_to(folder.resolve()):
        raise UsageError(
            f"The registry {store.root} lies inside {folder}, which is published",
            remedy="Name a registry outside it; qreg never writes into a source.",
        )
    known = read_manifest(folder)
    manifest = describe_folder(folder, name=name, observe=observe)
    if known is not None and known.digest != manifest.digest and not describe_anew:
        raise_faults(folder, compare(manifest.files, known))
    if "/" not in manifest.name:
        raise UsageError(
            f"{folder} has no {'manifest that names it' if not name else 'valid name'}",
            remedy="Say under which name to publish it: --name ORG/NAME .",
        )
    consume = folder.resolve().is_relative_to(settings.outputs.resolve())
    published = store.publish(folder, manifest, tags=tags, observe=observe, consume=consume)
    reference = f"{store.url}/{manifest.name}@{manifest.digest}"
    announce(manifest, reference, settings, alias=alias, observe=observe)
    return Publication(published, manifest, reference)
