"""Artifacts as repositories of a Hugging Face hub: a commit a publication, tags for its names.

A digest finds its revision through the tag `sha256-…` that publishing sets, also when the main
branch has moved on. Files and manifest come in one commit, so that a reader sees all or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from registry.artifact import Manifest
from registry.clock import utc_now
from registry.errors import (
    IntegrityError,
    NotFoundError,
    QregError,
    TransferError,
)
from registry.folder import Entry, git_sha1
from registry.names import check_name, check_tags, is_tag
from registry.payload import is_kept
from registry.progress import Observer, ignore
from registry.stores.ahead import Send
from registry.stores.hub_store import HubStore, stays_private
from registry.stores.huggingface.control import ENDPOINT, Control, endpoint, headers
from registry.stores.huggingface.snapshot import HuggingFaceSnapshot
from registry.stores.huggingface.upload import HuggingFaceUpload, Outgoing
from registry.stores.interface import (
    Published,
    as_published,
    digest_tag,
    file_of,
    written_manifest,
)
from registry.stores.uploading import Tally
from registry.transport import Transport

BRANCH = "main"


class HuggingFaceStore(HubStore):
    """The hub that HF_ENDPOINT names, with the token of `hf auth login` or HF_TOKEN."""

    url = "hf://"

    def __init__(self) -> None:
        self._ready: dict[tuple[str, bool], bool] = {}

    def open(self, name: str, revision: str | None) -> HuggingFaceSnapshot:
        return HuggingFaceSnapshot(name, revision)

    def revisions(self, name: str) -> list[Published]:
        branches, tagged = Control(check_name(name)).refs()
        tags: dict[str, list[str]] = {}
        for ref, commit in (*branches.items(), *tagged.items()):
            tags.setdefault(commit, []).append(ref)
        found = []
        for commit, refs in tags.items():
            names = tuple(ref for ref in refs if is_tag(ref))
            if not names:
                continue  # no reference can name it
            try:
                digest = HuggingFaceSnapshot(name, commit).digest
            except QregError:
                continue  # not an artifact, or one whose digest the hub does not tell
            shown = tuple(tag for tag in names if not tag.startswith("sha256-"))
            found.append(Published(name, digest, shown, ""))
        return found

    def sender(self, name: str, *, public: bool) -> Send:
        self._require_repository(check_name(name), public)
        upload = self._upload(name)
        return lambda entry, file, tally: upload.send_large([Outgoing(entry, file)], tally)

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
            observe(stays_private(f"hf://{name}"))
        parent = HuggingFaceSnapshot(name, BRANCH) if self._has_commits(name) else None
        there = {entry.path: entry for entry in parent.entries()} if parent else {}
        manifest = as_published(manifest, parent) if parent else manifest
        tally = Tally(manifest.size, observe)
        with written_manifest(manifest) as (entry, file):
            files = [Outgoing(one, file_of(folder, extra, one.path)) for one in manifest.files] + [
                Outgoing(entry, file)
            ]
            missing = [one for one in files if not _is_there(one, there.get(one.entry.path))]
            listed = [one for one in files if one not in missing]
            missing += self._upload(name).lost(listed) if listed else []
            wanted = {one.entry.path for one in files}
            deleted = [path for path in there if is_kept(path) and path not in wanted]
            _tell_present(files, missing, tally)
            commit = parent.commit if parent else ""
            if missing or deleted:
                commit = self._commit(name, missing, deleted, parent, manifest, tally)
        self._check(name, commit, manifest)
        control = Control(name)
        for tag in (*tags, digest_tag(manifest.digest)):
            control.tag(tag, commit)
        return Published(name, manifest.digest, (*tags, BRANCH), utc_now())

    def _commit(
        self,
        name: str,
        missing: list[Outgoing],
        deleted: list[str],
        parent: HuggingFaceSnapshot | None,
        manifest: Manifest,
        tally: Tally,
    ) -> str:
        upload = self._upload(name)
        message = f"Publish {manifest.digest.short} with qreg"
        before = parent.commit if parent else None
        try:
            commit = upload.send(missing, deleted, before, message, tally)
        except TransferError:
            # The commit may have arrived though its answer did not; then a second try is refused,
            # as its parent is not the newest any more.
            arrived = self._arrived(name, manifest, before)
            if arrived is None:
                raise
            return arrived
        return commit or HuggingFaceSnapshot(name, BRANCH).commit

    def _upload(self, name: str) -> HuggingFaceUpload:
        hub = endpoint()
        transport = Transport(headers(), endpoint=ENDPOINT, origin=hub)
        return HuggingFaceUpload(hub, name, BRANCH, transport)

    def _arrived(self, name: str, manifest: Manifest, before: str | None) -> str | None:
        """The newest commit, if it is a new one and holds what was to be committed."""
        try:
            found = HuggingFaceSnapshot(name, BRANCH)
            same = found.commit != before and found.manifest.to_json() == manifest.to_json()
        except QregError:
            return None
        return found.commit if same else None

    def _check(self, name: str, commit: str, manifest: Manifest) -> None:
        """The hub must list exactly what was published, under the same digest."""
        found = HuggingFaceSnapshot(name, commit)
        if found.digest != manifest.digest:
            raise IntegrityError(
                f"hf://{name}@{commit} has {found.digest} after publishing {manifest.digest}",
                remedy="Somebody else committed at the same time, or the hub changed files; "
                "publish again.",
            )

    def _require_repository(self, name: str, public: bool) -> bool:
        """Make the repository, and see to its visibility; once. See `Control.require`."""
        if (name, public) not in self._ready:
            self._ready[name, public] = Control(name).require(public=public)
        return self._ready[name, public]

    def _has_commits(self, name: str) -> bool:
        try:
            return bool(HuggingFaceSnapshot(name, BRANCH).commit)
        except NotFoundError:
            return False


def _is_there(one: Outgoing, entry: Entry | None) -> bool:
    """Whether the hub has a file already, by sha256 or, for a small one, by git's own hash."""
    if entry is None or entry.size != one.entry.size:
        return False
    if entry.sha256:
        return entry.sha256 == one.entry.sha256
    if not entry.git_sha1 or one.entry.size > 2**26:
        return False
    return git_sha1(one.file.read_bytes()) == entry.git_sha1


def _tell_present(files: list[Outgoing], missing: list[Outgoing], tally: Tally) -> None:
    lacking = {one.entry.path for one in missing}
    for one in files:
        if one.entry.path not in lacking:
            tally.of(one.entry.path, one.entry.size)(one.entry.size)
