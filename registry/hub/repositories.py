"""The hub's repositories, kept beside the artifacts of a registry in a folder.

Contents are the registry's blobs. What is published to the registry by other means shows up as
commits of the main branch; and a commit whose tree is a whole artifact becomes a revision of the
registry, so that both see the same artifacts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from registry.artifact import MANIFEST_FILE
from registry.clock import utc_now
from registry.describe import describe_source
from registry.errors import IntegrityError, NotFoundError, QregError, UsageError
from registry.hub.commits import Blob, Commit, check_tree, is_large
from registry.hub.records import Records, Repository
from registry.hub.tree_source import TreeSource
from registry.names import check_name, check_tag
from registry.stores.local import LATEST, LocalStore

MAIN = "main"
_ALSO_MAIN = ("master",)  # ModelScope's name of it


class StaleParent(QregError):
    """A commit was made for a parent that is not the newest any more."""

    kind = "conflict"
    exit_code = 7


class AlreadyThere(QregError):
    """A repository, branch or tag of that name exists."""

    kind = "conflict"
    exit_code = 2


class Repositories:
    """All repositories of a hub.

    Args:
        store: the registry whose artifacts they are.
    """

    def __init__(self, store: LocalStore) -> None:
        self.store = store
        self.blobs = store.blobs
        self._records = Records(store.root / "hub")

    def names(self) -> list[str]:
        """All names, also of artifacts that were published to the registry directly."""
        return sorted({*self._records.names(), *self.store.names()})

    def get(self, name: str) -> Repository:
        """A repository, in step with the registry.

        Raises:
            NotFoundError: there is none.
        """
        found = self._records.read(name)
        if self._behind(name, found):
            with self._records.lock(name):
                return self._catch_up(name)
        if found is None:
            raise NotFoundError(f"There is no repository {name}")
        return found

    def create(self, name: str, *, private: bool) -> Repository:
        """Make a repository.

        Raises:
            AlreadyThere: it exists.
            UsageError: the name is not valid.
        """
        check_name(name)
        with self._records.lock(name):
            if self._records.read(name) is not None or self.store.revisions(name):
                raise AlreadyThere(f"The repository {name} exists already")
            first = Commit({}, message="initial commit", date=utc_now())
            self._records.write_commit(name, first)
            made = Repository(name, private, utc_now(), {MAIN: first.oid})
            self._records.write(made)
            return made

    def delete(self, name: str) -> None:
        """Remove a repository and its artifact's revisions; contents stay in the registry."""
        self.get(name)
        with self._records.lock(name):
            for revision in self.store.revisions(name):
                self.store.remove(name, revision.digest)
            self._records.remove(name)

    def set_private(self, name: str, private: bool) -> None:
        """Change who may read it."""
        self._change(name, lambda repository: replace(repository, private=private))

    def find(self, name: str, revision: str, known: Repository | None = None) -> tuple[str, Commit]:
        """A commit by branch, tag or its own name.

        Args:
            name: of the repository.
            revision: of it.
            known: the repository, where it was just looked at.

        Raises:
            NotFoundError: there is none.
        """
        repository = known or self.get(name)
        if revision in _ALSO_MAIN and revision not in repository.branches:
            revision = MAIN
        oid = repository.branches.get(revision) or repository.tags.get(revision) or revision
        return oid, self._records.read_commit(name, oid)

    def history(self, name: str, revision: str) -> Iterator[tuple[str, Commit]]:
        """A commit and those before it."""
        oid, commit = self.find(name, revision)
        while True:
            yield oid, commit
            if not commit.parent:
                return
            oid, commit = commit.parent, self._records.read_commit(name, commit.parent)

    def commit(
        self,
        name: str,
        branch: str,
        change: Callable[[dict[str, Blob]], None],
        *,
        message: str,
        parent: str = "",
    ) -> str:
        """Change a branch's tree, atomically.

        Args:
            name: ORG/NAME.
            branch: that is changed.
            change: is given the files of its newest commit, to change them.
            message: one line.
            parent: the commit that the change was made for; empty for any.

        Returns:
            The new commit; the old one if nothing changed.

        Raises:
            StaleParent: the branch has another commit than `parent`.
            IntegrityError: an unsafe name, or a content that was never uploaded.
        """
        self.get(name)
        with self._records.lock(name):
            repository = self._catch_up(name)
            if branch in _ALSO_MAIN and branch not in repository.branches:
                branch = MAIN
            if branch not in repository.branches:
                raise NotFoundError(f"{name} has no branch {branch}")
            newest = repository.branches[branch]
            if parent and not newest.startswith(parent):
                raise StaleParent(
                    f"{branch} of {name} is at {newest}, not at {parent}",
                    remedy="Look at what was committed meanwhile, and commit again.",
                )
            before = self._records.read_commit(name, newest)
            files = dict(before.files)
            change(files)
            if files == dict(before.files):
                return newest
            check_tree(files)
            for path, blob in files.items():
                if before.files.get(path) != blob and not self.blobs.has(blob.sha256, blob.size):
                    raise IntegrityError(f"The content of {path} was never uploaded")
            made = Commit(files, newest, message, utc_now())
            self._records.write_commit(name, made)
            known = self._export(name, made) if branch == MAIN else None
            branches = {**repository.branches, branch: made.oid}
            digests = (*repository.known, known) if known else repository.known
            self._records.write(
                replace(repository, branches=branches, known=tuple(dict.fromkeys(digests)))
            )
            return made.oid

    def tag(self, name: str, tag: str, revision: str) -> None:
        """Give a commit a name.

        Raises:
            AlreadyThere: the tag exists.
        """
        try:
            check_tag(tag)
        except UsageError as error:
            raise IntegrityError(error.message) from error
        oid, commit = self.find(name, revision)

        def add(repository: Repository) -> Repository:
            if tag in repository.tags:
                raise AlreadyThere(f"{name} has a tag {tag} already")
            return replace(repository, tags={**repository.tags, tag: oid})

        self._change(name, add)
        self._export(name, commit, tag)

    def remove_tag(self, name: str, tag: str) -> None:
        """Take a name from a commit."""

        def drop(repository: Repository) -> Repository:
            if tag not in repository.tags:
                raise NotFoundError(f"{name} has no tag {tag}")
            return replace(repository, tags={k: v for k, v in repository.tags.items() if k != tag})

        self._change(name, drop)

    def branch(self, name: str, branch: str, revision: str = MAIN) -> None:
        """Begin a branch at a commit; raises AlreadyThere."""
        oid, _ = self.find(name, revision)

        def add(repository: Repository) -> Repository:
            if branch in repository.branches:
                raise AlreadyThere(f"{name} has a branch {branch} already")
            return replace(repository, branches={**repository.branches, check_tag(branch): oid})

        self._change(name, add)

    def remove_branch(self, name: str, branch: str) -> None:
        """Remove a branch; the main one stays."""

        def drop(repository: Repository) -> Repository:
            if branch not in repository.branches:
                raise NotFoundError(f"{name} has no branch {branch}")
            if branch == MAIN:
                raise IntegrityError("The main branch cannot be removed")
            rest = {k: v for k, v in repository.branches.items() if k != branch}
            return replace(repository, branches=rest)

        self._change(name, drop)

    # In step with the registry

    def _behind(self, name: str, found: Repository | None) -> bool:
        known = found.known if found else ()
        return any(str(r.digest) not in known for r in self.store.revisions(name))

    def _catch_up(self, name: str) -> Repository:
        """Make commits of the registry's revisions that have none yet, oldest first."""
        found = self._records.read(name) or Repository(name, True, utc_now())
        commits = dict(found.branches)
        tags, known = dict(found.tags), list(found.known)
        for revision in reversed(self.store.revisions(name)):
            if str(revision.digest) in known:
                continue
            snapshot = self.store.snapshot(name, digest=revision.digest)
            files = {}
            paths = [(e.path, e.size, e.sha256) for e in snapshot.manifest.files]
            for path, size, sha256 in paths:
                files[path] = self._blob_of(snapshot.folder / path, path, size, sha256)
            manifest = (snapshot.folder / MANIFEST_FILE).read_bytes()
            files[MANIFEST_FILE] = self.keep(manifest)
            message = f"Publish {revision.digest.short}"
            made = Commit(files, commits.get(MAIN, ""), message, revision.published)
            self._records.write_commit(name, made)
            commits[MAIN] = made.oid
            known.append(str(revision.digest))
            for tag in revision.tags:
                if tag != LATEST:
                    tags[tag] = made.oid
        if not commits:
            raise NotFoundError(f"There is no repository {name}")
        synced = replace(found, branches=commits, tags=tags, known=tuple(known))
        if synced != found:
            self._records.write(synced)
        return synced

    def _export(self, name: str, commit: Commit, tag: str = "") -> str | None:
        """Make a revision of a commit that is a whole artifact; its digest."""
        try:
            manifest = describe_source(TreeSource(f"{name}", commit, self.blobs), name)
            # The registry finds digests without tags.
            named = [tag] if tag and not tag.startswith("sha256-") else []
            self.store.commit(manifest, named)
        except (QregError, OSError):
            return None  # not an artifact, or not yet
        return str(manifest.digest)

    def keep(self, content: bytes) -> Blob:
        """Put a small content into the registry."""
        self.blobs.keep(content)
        return Blob.of(content)

    def _blob_of(self, file: Path, path: str, size: int, sha256: str) -> Blob:
        if is_large(path, size):
            return Blob(size, sha256)
        return Blob.of(file.read_bytes())

    def _change(self, name: str, change: Callable[[Repository], Repository]) -> None:
        self.get(name)
        with self._records.lock(name):
            self._records.write(change(self._catch_up(name)))
