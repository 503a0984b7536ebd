"""Artifacts as models on ModelScope: a commit a publication, tags for its names.

A branch there can move while it is read. Contents are held against the sha256 of the listing, so
that a mixture of two commits is found out; a digest or a tag names a revision that does not move.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.artifact import Digest, FileEntry, Manifest
from registry.clock import utc_now
from registry.errors import (
    IntegrityError,
    NotAllowedError,
    NotFoundError,
    QregError,
    TransferError,
    UsageError,
)
from registry.folder import Entry
from registry.names import check_name, check_tags, is_tag
from registry.payload import MANIFEST_FILE, is_kept
from registry.progress import Observer, ignore
from registry.stores.ahead import Send
from registry.stores.hub_store import HubStore, stays_private
from registry.stores.interface import (
    Published,
    as_published,
    digest_tag,
    file_of,
    written_manifest,
)
from registry.stores.modelscope.client import (
    MODEL,
    PRIVATE,
    PUBLIC,
    asking,
    connect,
    transport_of,
)
from registry.stores.modelscope.snapshot import BRANCH, ModelScopeSnapshot
from registry.stores.uploading import Tally, content_of, upload_all
from registry.transport import Transport

if TYPE_CHECKING:
    from modelscope_hub import HubApi

_LARGE = 64 * 1024  # bytes; ModelScope's own clients keep larger files in LFS
_LARGE_NAMES = (".safetensors", ".bin", ".pt", ".gguf", ".onnx", ".model")
_OPERATIONS = 1000  # in one commit; the hub takes 2,000
_BATCH = 256


class ModelScopeStore(HubStore):
    """The hub that MODELSCOPE_ENDPOINT names."""

    url = "ms://"

    def open(self, name: str, revision: str | None) -> ModelScopeSnapshot:
        return ModelScopeSnapshot(name, revision)

    def revisions(self, name: str) -> list[Published]:
        legacy = self._api.legacy
        branches, tags = asking(
            f"ms://{name}", lambda: legacy.list_revisions_detail(check_name(name), MODEL)
        )
        found: dict[Digest, list[str]] = {}
        for row in (*branches, *tags):
            revision = str(row.get("Revision"))
            if not is_tag(revision):
                continue  # no reference can name it
            try:
                found.setdefault(ModelScopeSnapshot(name, revision).digest, []).append(revision)
            except QregError:
                continue  # not an artifact
        shown = {d: tuple(r for r in rs if not r.startswith("sha256-")) for d, rs in found.items()}
        return [Published(name, digest, names, "") for digest, names in shown.items()]

    def sender(self, name: str, *, public: bool) -> Send:
        self._require_repository(check_name(name), public)
        return lambda entry, file, tally: self._send(name, {entry.path: (entry, file)}, tally)

    def publish(
        self,
        folder: Path,
        manifest: Manifest,
        *,
        tags: Iterable[str] = (),
        public: bool = False,
        extra: Mapping[str, Path] | None = None,
        observe: Observer = ignore,
        consume: bool = False,
    ) -> Published:
        name, tags = check_name(manifest.name), check_tags(tags)
        if not self._require_repository(name, public):
            observe(stays_private(f"ms://{name}"))
        parent = ModelScopeSnapshot(name)
        there = {entry.path: entry for entry in parent.entries()}
        manifest = as_published(manifest, parent)
        tally = Tally(manifest.size, observe)
        with written_manifest(manifest) as (entry, file):
            files = {e.path: (e, file_of(folder, extra, e.path)) for e in manifest.files}
            files[MANIFEST_FILE] = (entry, file)
            same = [e for e, _ in files.values() if _sha256_of(there.get(e.path)) == e.sha256]
            # A hub of one's own takes again what is damaged there.
            lost = self._urls(name, [e for e in same if _is_large(e.path, e.size)])
            missing = []
            for path, (one, where) in files.items():
                if one in same and one.sha256 not in lost:
                    tally.of(path, one.size)(one.size)
                else:
                    missing.append((one, where))
            deleted = [path for path in there if is_kept(path) and path not in files]
            large = {e.path: (e, f) for e, f in missing if _is_large(e.path, e.size)}
            self._send(name, large, tally)
            actions = [_deletion(path) for path in deleted]
            for one, where in missing:
                update = one.path in there
                actions.append(_action(one, where, update=update))
                if one.path not in large:
                    tally.of(one.path, one.size)(one.size)
            commit = self._commit(name, actions, manifest)
        found = self._published(name, commit)
        if found.digest != manifest.digest:
            raise IntegrityError(
                f"{found.reference} has {found.digest} after publishing {manifest.digest}",
                remedy="Somebody else committed at the same time; publish again.",
            )
        for tag in (*tags, digest_tag(manifest.digest)):
            self._tag(name, tag, manifest.digest, found.revision)
        return Published(name, manifest.digest, (*tags, BRANCH), utc_now())

    def _send(self, name: str, large: Mapping[str, Any], tally: Tally) -> None:
        """Upload the contents that the hub lacks."""
        unique = {entry.sha256: (entry, file) for entry, file in large.values()}
        urls, jobs = self._urls(name, [entry for entry, _ in unique.values()]), []
        for oid, (entry, file) in unique.items():
            told = tally.of(entry.path, entry.size)
            if oid in urls:
                jobs.append(partial(self._put, entry.path, urls[oid], file, entry.size, told))
            else:
                told(entry.size)
        upload_all(jobs, tally)

    def _urls(self, name: str, entries: Sequence[FileEntry]) -> dict[str, str]:
        """Where to send contents that the hub lacks, by their sha256."""
        found: dict[str, str] = {}
        for begin in range(0, len(entries), _BATCH):
            asked = [{"oid": e.sha256, "size": e.size} for e in entries[begin : begin + _BATCH]]
            validate = partial(self._api.legacy.validate_blobs, name, MODEL, asked)
            urls = asking(f"the upload to ms://{name}", validate)
            found |= {oid: str(url) for oid, url in urls.items() if url}
        return found

    def _put(self, path: str, url: str, file: Path, size: int, told: Any) -> None:
        sent = self._transport.headers  # go along where they may
        self._transport.put_file(path, url, file, 0, size, headers=sent, told=told)

    def _commit(self, name: str, actions: list[dict[str, Any]], manifest: Manifest) -> str:
        """Commit; the manifest comes with the last files, where one commit cannot hold all.

        Returns:
            The last commit; empty if there was nothing to commit, or the hub does not tell.
        """
        made: Any = None
        actions.sort(key=lambda action: action["path"] == MANIFEST_FILE)
        message = f"Publish {manifest.digest.short} with qreg"
        for begin in range(0, len(actions), _OPERATIONS):
            part = actions[begin : begin + _OPERATIONS]
            create = partial(self._api.legacy.create_commit, name, MODEL, part, message, BRANCH)
            try:
                made = asking(f"the commit to ms://{name}", create)
            except TransferError:
                # It may have arrived though its answer did not; then a second try is refused.
                if begin + _OPERATIONS < len(actions) or not self._arrived(name, manifest):
                    raise
        return str(made.get("commit_id") or "") if isinstance(made, dict) else ""

    def _arrived(self, name: str, manifest: Manifest) -> bool:
        """Whether the newest revision is what was to be committed."""
        try:
            return ModelScopeSnapshot(name).manifest.to_json() == manifest.to_json()
        except QregError:
            return False

    def _require_repository(self, name: str, public: bool) -> bool:
        """Make the repository; the library's own uploads would make it public.

        Returns:
            Whether it is as public as was asked for; one that exists is not opened.
        """
        org, _, repository = name.partition("/")
        body = {
            "Path": org,
            "Name": repository,
            "Visibility": PUBLIC if public else PRIVATE,
            "License": "other",  # what is known of it is in the card
        }
        legacy = self._api.legacy
        from modelscope_hub import errors

        def make() -> Any:
            try:
                legacy.create_repo(MODEL, body)
            except errors.AlreadyExistsError:
                pass
            return legacy.get_repo_info(name, MODEL)

        found = asking(f"ms://{name}", make)
        if not public and found.get("Visibility") == PUBLIC:
            raise NotAllowedError(
                f"ms://{name} is public, and it was not asked to publish to the public",
                remedy="Say --public, or make the model private on the hub first.",
            )
        return not public or found.get("Visibility") in (PUBLIC, None)

    def _published(self, name: str, commit: str) -> ModelScopeSnapshot:
        """What was committed; by its commit, as others may have moved the branch already."""
        try:
            return ModelScopeSnapshot(name, commit or None)
        except NotFoundError:  # the hub names no commits
            return ModelScopeSnapshot(name)

    def _tag(self, name: str, tag: str, digest: Digest, revision: str) -> None:
        """Set a tag; ModelScope's tags cannot be moved by its API."""
        legacy = self._api.legacy

        def make() -> None:
            _, tags = legacy.list_revisions_detail(name, MODEL)
            if tag not in {row.get("Revision") for row in tags}:
                legacy.create_tag(name, MODEL, tag, revision)

        asking(f"the tag {tag} of ms://{name}", make)
        if ModelScopeSnapshot(name, tag).digest != digest:
            raise UsageError(
                f"ms://{name} has another revision under the tag {tag!r}",
                remedy="Tags on ModelScope cannot be moved; name a new one. The artifact itself "
                "was published.",
            )

    @cached_property
    def _api(self) -> HubApi:
        return connect()

    @cached_property
    def _transport(self) -> Transport:
        return transport_of(self._api)


def _sha256_of(entry: Entry | None) -> str | None:
    return entry.sha256 if entry is not None else None


def _is_large(path: str, size: int) -> bool:
    return size > _LARGE or path.endswith(_LARGE_NAMES)


def _deletion(path: str) -> dict[str, Any]:
    return {"action": "delete", "path": path}


def _action(entry: FileEntry, file: Path, *, update: bool) -> dict[str, Any]:
    action = {
        "action": "update" if update else "create",
        "path": entry.path,
        "size": entry.size,
    }
    if _is_large(entry.path, entry.size):
        return {**action, "type": "lfs", "sha256": entry.sha256, "content": "", "encoding": ""}
    content = base64.b64encode(content_of(entry, file)).decode()
    return {**action, "type": "normal", "sha256": "", "content": content, "encoding": "base64"}
