"""Publishing: lint, describe, move what each store lacks, commit last, tell MLflow."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from registry.artifact import FileEntry, Manifest
from registry.card import CARD_FILE, check_license, model_card
from registry.checkpoint import open_checkpoint
from registry.checkpoint.facts import Facts, read_facts
from registry.config import Settings
from registry.describe import describe_folder, read_manifest
from registry.errors import CheckFailed, QregError, UsageError
from registry.finding import ERROR
from registry.folder import list_files, require_folder
from registry.lint import lint_facts
from registry.names import check_alias, check_name, check_new_tags
from registry.payload import MANIFEST_FILE
from registry.progress import Note, Observer, ignore
from registry.resolve import resolve
from registry.source import LocalSource
from registry.stores import Published, Store
from registry.stores.local_marker import registry_of
from registry.tracking.client import warm_up
from registry.tracking.release import DEFAULT_ALIAS, announce
from registry.transfer.beginning import Begun, as_failure, begin, offering
from registry.transfer.destinations import open_destinations, refuse_inside
from registry.transfer.pulling import pull
from registry.transfer.verification import compare, raise_faults

_LONG = 2**28  # bytes; what takes longer to publish than MLflow to load


@dataclass(frozen=True)
class Publication:
    """What was published, and where it can be found from now on.

    Attributes:
        published: in the first destination.
        manifest: of the artifact.
        reference: in the first destination, with its digest.
        references: in all destinations.
    """

    published: Published
    manifest: Manifest
    reference: str
    references: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """How an artifact is to be published.

    Attributes:
        name: ORG/NAME; empty: the name in the artifact's manifest.
        to: URLs of stores; none: the default registry.
        tags: set on the new revision, besides `latest`.
        alias: of the model version in MLflow.
        public: let anyone read it, on hubs.
        license: an identifier for the model card that is written where there is none.
        accept: checks of lint whose errors do not keep it from being published; `all` for any.
        describe_anew: publish files that the folder's own manifest contradicts, as something new
            without that manifest's provenance.
        wait: for MLflow to have it; else it is told by `registry.tracking.recovery.synchronise`.
    """

    name: str = ""
    to: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    alias: str = DEFAULT_ALIAS
    public: bool = False
    license: str = ""
    accept: tuple[str, ...] = ()
    describe_anew: bool = False
    wait: bool = True

    def check(self) -> None:
        """Raise UsageError for anything that cannot be carried out."""
        check_new_tags(self.tags)
        check_alias(self.alias)
        check_license(self.license)
        if self.name:
            check_name(self.name)


def publish(
    source: Path | str,
    settings: Settings,
    *,
    name: str = "",
    to: str | Iterable[str] = (),
    tags: Iterable[str] = (),
    alias: str = DEFAULT_ALIAS,
    public: bool = False,
    license: str = "",
    accept: Iterable[str] = (),
    describe_anew: bool = False,
    provenance: Mapping[str, Any] | None = None,
    wait: bool = True,
    observe: Observer = ignore,
) -> Publication:
    """Publish a checkpoint to one store or several; a folder is never written to.

    Args:
        source: a folder with or without `qreg.json`, or a reference, which is pulled first.
        settings: where the default registry is.
        name, to, tags, alias, public, license, accept, describe_anew, wait: see `Wanted`.
        provenance: in place of what the folder's manifest says of it.
        observe: is told the bytes hashed and moved.

    Raises:
        CheckFailed: lint finds errors; its `details` name them.
        NotFoundError, IntegrityError: the folder is not a whole checkpoint, or not the one that
            its manifest describes.
        UsageError: an invalid name, tag or destination.
        NotAllowedError: no permission, or a repository is public and `public` is not set.
        TransferError: a store could not take it; nothing of it is visible there then.
    """
    urls = (to,) if isinstance(to, str) else tuple(to)
    wanted = Wanted(
        name, urls, tuple(dict.fromkeys(tags)), alias, public, license, tuple(accept),
        describe_anew, wait,
    )  # fmt: skip
    wanted.check()
    stores = open_destinations(wanted.to, settings)
    folder = _folder_of(source, settings, observe)
    stored = registry_of(folder) is not None
    _refuse_folders_in_place_of_files(folder)
    for store in stores:
        refuse_inside(store, folder)
    follow = not isinstance(source, Path) and not stored
    sizes = list_files(folder, follow_outside=follow)
    if wait and sum(sizes.values()) > _LONG:
        warm_up(settings)
    facts = _require_sound(folder, wanted.accept)
    known = read_manifest(folder)
    name = name or (known.name if known else "")
    if "/" not in name:
        raise UsageError(
            f"{folder} has no manifest that names it",
            remedy="Say under which name to publish it: --name ORG/NAME .",
        )
    begun = begin(stores, check_name(name), sum(sizes.values()), public=public)
    try:
        offer = offering(begun, folder, None if describe_anew else known)
        manifest = describe_folder(
            folder,
            name=name,
            provenance=provenance,
            observe=observe,
            follow_outside=follow,
            facts=facts,
            found=offer,
        )
        # In a registry also the card is what was published: it may be another user's folder.
        if known is not None and not describe_anew and (stored or known.digest != manifest.digest):
            raise_faults(folder, compare(manifest.files, known))
        with _with_card(manifest, license) as (manifest, extra):
            return _publish_to(begun, folder, manifest, extra, wanted, settings, observe)
    finally:
        for one in begun:
            one.stop()


def _publish_to(
    begun: list[Begun],
    folder: Path,
    manifest: Manifest,
    extra: Mapping[str, Path],
    wanted: Wanted,
    settings: Settings,
    observe: Observer,
) -> Publication:
    """Publish to all stores; one that fails does not keep the others from having it."""
    consume = folder.resolve().is_relative_to(settings.outputs.resolve())
    done: list[tuple[str, Published]] = []
    failed: list[tuple[str, QregError]] = []
    for one in begun:
        store = one.store
        # Files that lie elsewhere are temporary, and must not become links.
        try:
            one.finish(observe)
            published = store.publish(
                folder,
                manifest,
                tags=wanted.tags,
                public=wanted.public,
                extra=extra,
                observe=observe,
                consume=consume,
            )
        except (QregError, OSError) as raised:
            error = as_failure(raised, store, manifest.name)
            failed.append((store.url, error))
            if len(begun) > 1:
                observe(Note(f"{store.url}: {error.message}", warning=True))
            continue
        done.append((_reference(store, manifest), published))
    if done:
        references = tuple(reference for reference, _ in done)
        announce(
            manifest, references[0], settings,
            references=references, alias=wanted.alias, wait=wanted.wait, observe=observe,
        )  # fmt: skip
    if failed:
        first = failed[0][1]
        if done:
            lines = [f"published: {reference}" for reference, _ in done]
            lines += [f"failed: {url}: {other.message}" for url, other in failed]
            first.details = "\n".join([*filter(None, [first.details]), *lines])
        raise first
    return Publication(done[0][1], manifest, done[0][0], tuple(reference for reference, _ in done))


def _reference(store: Store, manifest: Manifest) -> str:
    slash = "" if store.url.endswith("/") else "/"
    return f"{store.url}{slash}{manifest.name}@{manifest.digest}"


def _folder_of(source: Path | str, settings: Settings, observe: Observer) -> Path:
    if isinstance(source, Path):
        return require_folder(source)
    resolved = resolve(source, settings)
    if resolved.folder is not None:
        return resolved.folder
    return pull(source, settings, observe=observe).folder


def _refuse_folders_in_place_of_files(folder: Path) -> None:
    for name in (MANIFEST_FILE, CARD_FILE):
        if (folder / name).is_dir():
            raise UsageError(
                f"{folder / name} is a folder, where qreg keeps a file of that name",
                remedy="Rename it or move it away, then publish again.",
            )


def _require_sound(folder: Path, accept: tuple[str, ...]) -> Facts:
    """Refuse what lint finds errors in; a damaged manifest has its own, better words.

    Returns:
        What is known of it: headers are read once.
    """
    if "all" in accept:
        return read_facts(open_checkpoint(folder))
    facts = read_facts(open_checkpoint(folder))  # what is not even whole has an error of its own
    left_out = ("manifest-stale", "json-damaged", *accept)
    findings = lint_facts(facts, LocalSource(folder), ignore=left_out)
    errors = [finding for finding in findings if finding.severity == ERROR]
    if errors:
        ids = sorted({finding.id for finding in errors})
        raise CheckFailed(
            f"{folder} has {len(errors)} error(s) and is not published: {errors[0].message}",
            remedy=f"`qreg lint {folder}` says what to do about each. To publish it as it is, "
            f"--accept {' --accept '.join(ids)} .",
            details="\n".join(f"{finding.id}: {finding.message}" for finding in errors),
        )
    return facts


@contextmanager
def _with_card(manifest: Manifest, license: str) -> Iterator[tuple[Manifest, Mapping[str, Path]]]:
    """Add a model card to the files of an artifact that has none."""
    if any(entry.path == CARD_FILE for entry in manifest.files):
        yield manifest, {}
        return
    content = model_card(manifest, license=license)
    with tempfile.TemporaryDirectory(prefix="qreg-card-") as folder:
        card = Path(folder, CARD_FILE)
        card.write_bytes(content)
        entry = FileEntry(CARD_FILE, len(content), hashlib.sha256(content).hexdigest())
        files = tuple(sorted((*manifest.files, entry)))
        yield replace(manifest, files=files), {CARD_FILE: card}
