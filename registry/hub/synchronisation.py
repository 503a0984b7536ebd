"""Commits of a hub and revisions of its registry: each becomes the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from registry.artifact import Manifest
from registry.clock import utc_now
from registry.describe import describe_source
from registry.errors import NotAllowedError, NotFoundError, QregError, TransferError
from registry.hub.backends import Backend
from registry.hub.commits import MAIN, Blob, Commit, is_large
from registry.hub.exports import Exports
from registry.hub.repository import Repository
from registry.hub.tree_source import TreeSource
from registry.payload import MANIFEST_FILE
from registry.stores import Snapshot
from registry.stores.local import LATEST

_AGAIN = 60.0  # seconds until an export that failed is tried again
_MANY = 50  # revisions; to look for new ones among more takes long enough to be done less often
_SHARE = 10  # times as long as that took, what was found holds
_LONGEST = 2.0  # seconds that it holds at most


class Synchronisation:
    """Keeps a hub's records and its registry in step.

    Args:
        backend: holds both.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend, self._records = backend, backend.records
        self._exports = Exports()
        self._failed: dict[str, float] = {}
        self._even: dict[str, tuple[tuple[str, ...], float]] = {}

    def look(self, name: str) -> Repository | None:
        """A repository, with commits of all revisions; None if there is none."""
        found = self._records.read(name)
        if self._is_behind(name, found.known if found else ()):
            found = self._records.change(name, lambda: self.catch_up(name))
        # A hub died before it told the registry of a commit, or could not.
        rested = time.monotonic() - self._failed.get(name, float("-inf")) > _AGAIN
        if found and _has_news(found) and rested and not self._exports.is_busy(name):
            self._exports.submit(name, lambda: self._tell(name))
        return found

    def _is_behind(self, name: str, known: tuple[str, ...]) -> bool:
        """Whether the registry has revisions that are no commits yet.

        A thousand revisions take 0.2 s to look at, which no request of a download can pay; a few
        are looked at each time, so that what was just published is there.
        """
        began = time.monotonic()
        if (even := self._even.get(name)) and even[0] == known and began < even[1]:
            return False
        if self._backend.is_behind(name, known):
            return True
        if len(known) > _MANY:
            if len(self._even) > 10_000:
                self._even.clear()
            now = time.monotonic()
            self._even[name] = known, now + min(_LONGEST, _SHARE * (now - began))
        return False

    def settle(self, name: str) -> None:
        """Tell the registry of the main branch's newest commit and of tags; wait a little."""
        found = self._records.read(name)
        if found is not None and _has_news(found):
            self._exports.wait(name, lambda: self._tell(name))

    def renew(self, name: str, oid: str) -> None:
        """Bring the revision of a commit into order, if it is one; wait a little."""

        def work() -> None:
            found = self._records.read(name)
            with suppress(QregError, OSError):  # removed meanwhile, or out of reach
                if found is not None and oid == found.branches.get(MAIN):
                    self._export(name, oid, newest=True)

        self._exports.wait(name, work)

    def remove(self, name: str) -> None:
        """Remove a repository and its artifact's revisions, after what is under way for it."""
        self._after_exports(name, lambda: self._backend.remove(name))

    def untag(self, name: str, tag: str) -> None:
        """Remove a tag from the registry and here, after what is under way for the repository."""

        def work() -> None:
            found = self.catch_up(name)
            tags = {other: oid for other, oid in found.tags.items() if other != tag}
            self._backend.untag(name, tag)
            self._records.write(replace(_without(found, tag), tags=tags))

        self._after_exports(name, work)

    def _after_exports(self, name: str, work: Callable[[], None]) -> None:
        """Change a repository after what is under way for it; raises what `work` does."""
        failures: list[Exception] = []

        def job() -> None:
            try:
                self._records.change(name, work)
            except Exception as error:  # noqa: BLE001 - raised again where it was asked for
                failures.append(error)

        self._exports.submit(name, job).wait()
        if failures:
            raise failures.pop()  # out of here, as it holds this frame

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

    def _tell(self, name: str) -> None:
        """Tell the registry of the main branch's newest commit, and of tags."""
        try:
            repository = self._records.read(name)
            if repository is None:
                return
            oid = repository.branches[MAIN]
            if oid != repository.exported:
                self._export(name, oid, newest=True)
                self._note(name, lambda found: replace(found, exported=oid))
            for tag, tagged in repository.untold.items():
                self._export(name, tagged, tag)
                self._note(name, partial(_without, tag=tag))
        except (QregError, OSError):
            self._failed[name] = time.monotonic()  # removed meanwhile, or out of reach

    def _export(self, name: str, oid: str, tag: str = "", *, newest: bool = False) -> None:
        """Make a revision of a commit, if it is a whole artifact."""
        manifest = self.artifact(name, self._records.read_commit(name, oid))
        if manifest is None:
            return
        # Before it is a revision, so that nobody takes that for one published otherwise.
        self._note(name, lambda found: found.knowing(manifest.digest))
        self._backend.export(manifest, [tag] if tag else [], newest=newest)

    def artifact(self, name: str, commit: Commit) -> Manifest | None:
        """What a commit is as an artifact; None if it is none, or not yet.

        Raises:
            TransferError, NotAllowedError, OSError: its contents are out of reach.
        """
        try:
            return describe_source(TreeSource(name, commit, self._backend.contents), name)
        except (TransferError, NotAllowedError):
            raise
        except QregError:
            return None

    def _note(self, name: str, change: Callable[[Repository], Repository]) -> None:
        """Write down what was done, unless it stands there already."""

        def work() -> None:
            before = self.catch_up(name)
            if (after := change(before)) != before:
                self._records.write(after)

        self._records.change(name, work)

    def _keep(self, name: str, content: bytes) -> Blob:
        self._backend.contents.keep(name, [content])
        return Blob.of(content)


def _has_news(repository: Repository) -> bool:
    """Whether there is something that the registry was not told of."""
    return bool(repository.untold) or repository.branches.get(MAIN, "") != repository.exported


def _without(repository: Repository, tag: str) -> Repository:
    rest = {other: oid for other, oid in repository.untold.items() if other != tag}
    return replace(repository, untold=rest)


def _blob_of(snapshot: Snapshot, path: str, size: int, sha256: str) -> Blob:
    if is_large(path, size):
        return Blob(size, sha256)
    return Blob.of(snapshot.read(path, 0, size))
