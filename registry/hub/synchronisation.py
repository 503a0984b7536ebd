"""Commits of a hub and revisions of its registry: each becomes the other."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from registry.artifact import MANIFEST_FILE, Manifest
from registry.clock import utc_now
from registry.describe import describe_source
from registry.errors import NotFoundError, QregError, TransferError
from registry.hub.backends import Backend
from registry.hub.commits import MAIN, Blob, Commit, is_large
from registry.hub.exports import Exports
from registry.hub.repository import Repository
from registry.hub.tree_source import TreeSource
from registry.stores import Snapshot
from registry.stores.local import LATEST

_AGAIN = 60.0  # seconds until an export that failed is tried again


class Synchronisation:
    """Keeps a hub's records and its registry in step.

    Args:
        backend: holds both.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend, self._records = backend, backend.records
        self._exports = Exports()
        self._failed: dict[str, float] = {}

    def look(self, name: str) -> Repository | None:
        """A repository, with commits of all revisions; None if there is none."""
        found = self._records.read(name)
        if self._backend.is_behind(name, found.known if found else ()):
            found = self._records.change(name, lambda: self.catch_up(name))
        # A hub that died before it told the registry of a commit.
        rested = time.monotonic() - self._failed.get(name, float("-inf")) > _AGAIN
        if found and _unexported(found) and rested and not self._exports.is_busy(name):
            self._exports.submit(name, lambda: self._export_newest(name))
        return found

    def settle(self, name: str) -> None:
        """Tell the registry of the main branch's newest commit; wait a little for that."""
        found = self._records.read(name)
        if found is not None and _unexported(found):
            self._exports.wait(name, lambda: self._export_newest(name))

    def tag(self, name: str, commit: Commit, tag: str) -> None:
        """Tell the registry of a tag; wait a little for that."""
        self._exports.wait(name, lambda: self._export_tag(name, commit, tag))

    def remove(self, name: str) -> None:
        """Remove a repository and its artifact's revisions, after what is under way for it."""
        failures: list[QregError] = []

        def job() -> None:
            try:
                self._records.change(name, lambda: self._backend.remove(name))
            except QregError as error:
                failures.append(error)

        self._exports.submit(name, job).wait()
        if failures:
            raise failures[0]

    def catch_up(self, name: str) -> Repository:
        """Make commits of the registry's revisions that have none yet, oldest first.

        It is called inside of the records' `change`; raises NotFoundError.
        """
        found = self._records.read(name) or Repository(name, True, utc_now())
        commits = dict(found.branches)
        tags, known = dict(found.tags), list(found.known)
        exported = found.exported
        missing = self._backend.is_behind(name, known)
        for revision in reversed(self._backend.store.revisions(name)) if missing else ():
            if str(revision.digest) in known:
                continue
            snapshot = self._backend.store.snapshot(name, digest=revision.digest)
            files = {
                e.path: _blob_of(snapshot, e.path, e.size, e.sha256)
                for e in snapshot.manifest.files
            }
            files[MANIFEST_FILE] = self._keep(name, snapshot.manifest.to_bytes())
            message = f"Publish {revision.digest.short}"
            made = Commit(files, commits.get(MAIN, ""), message, revision.published)
            self._records.write_commit(name, made)
            commits[MAIN] = exported = made.oid
            known.append(str(revision.digest))
            for tag in revision.tags:
                if tag != LATEST:
                    tags[tag] = made.oid
        if not commits:
            raise NotFoundError(f"There is no repository {name}")
        synced = replace(found, branches=commits, tags=tags, known=tuple(known), exported=exported)
        if synced != found:
            self._records.write(synced)
        return synced

    def _export_newest(self, name: str) -> None:
        """Tell the registry of the main branch's newest commit."""
        repository = self._records.read(name)
        if repository is None or not _unexported(repository):
            return
        oid = repository.branches[MAIN]
        try:
            commit = self._records.read_commit(name, oid)
            if self._export(name, commit, newest=True):
                self._records.change(name, lambda: self._note_exported(name, oid))
        except QregError:
            self._failed[name] = time.monotonic()  # removed meanwhile, or out of reach

    def _export(
        self, name: str, commit: Commit, tags: Iterable[str] = (), *, newest: bool = False
    ) -> bool:
        """Make a revision of a commit that is a whole artifact; whether that is settled."""
        try:
            manifest = self.artifact(name, commit)
            if manifest is not None:
                self._backend.export(manifest, tags, newest=newest)
        except (QregError, OSError):
            self._failed[name] = time.monotonic()
            return False
        return True

    def artifact(self, name: str, commit: Commit) -> Manifest | None:
        """What a commit is as an artifact; None if it is none, or not yet.

        Raises:
            TransferError: its contents are out of reach at this moment.
        """
        try:
            return describe_source(TreeSource(name, commit, self._backend.contents), name)
        except TransferError:
            raise
        except (QregError, OSError):
            return None

    def _note_exported(self, name: str, oid: str) -> None:
        self._records.write(replace(self.catch_up(name), exported=oid))

    def _export_tag(self, name: str, commit: Commit, tag: str) -> None:
        # The registry finds digests without tags.
        if not tag.startswith("sha256-"):
            self._export(name, commit, [tag])

    def _keep(self, name: str, content: bytes) -> Blob:
        self._backend.contents.keep(name, [content])
        return Blob.of(content)


def _unexported(repository: Repository) -> bool:
    """Whether the registry was not told of the main branch's newest commit."""
    return repository.branches.get(MAIN, "") != repository.exported


def _blob_of(snapshot: Snapshot, path: str, size: int, sha256: str) -> Blob:
    if is_large(path, size):
        return Blob(size, sha256)
    return Blob.of(snapshot.read(path, 0, size))
