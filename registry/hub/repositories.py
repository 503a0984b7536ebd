"""The hub's repositories, kept beside the artifacts of a registry.

What is published to the registry by other means shows up as commits of the main branch; and a
commit whose tree is a whole artifact becomes a revision of the registry, so that both see the same
artifacts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from registry.clock import utc_now
from registry.errors import IntegrityError, NotFoundError
from registry.hub.backends import Backend
from registry.hub.commits import MAIN, Blob, Commit, check_tree
from registry.hub.conflicts import AlreadyThere, StaleParent
from registry.hub.repository import Repository
from registry.hub.sent import Sent
from registry.hub.synchronisation import Synchronisation
from registry.hub.trees import Tree, Trees
from registry.names import check_name, check_new_tags

_ALSO_MAIN = ("master",)  # ModelScope's name of it
_DIGEST_TAG = "sha256-"  # begins the tags by which digests are found
_SHORTEST = 7  # digits by which a commit is known


class Repositories:
    """All repositories of a hub.

    Args:
        backend: what they are kept in.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.contents, self._records = backend.contents, backend.records
        self._sync = Synchronisation(backend)
        self._sent = Sent(backend.state / "sent")
        self._trees = Trees(self._records.read_commit)

    def names(self) -> list[str]:
        """All names, also of artifacts that were published to the registry directly."""
        return sorted({*self._records.names(), *self._backend.store.names()})

    def get(self, name: str) -> Repository:
        """A repository, in step with the registry.

        Raises:
            NotFoundError: there is none.
        """
        found = self._sync.look(name)
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

        def work() -> Repository:
            if self._records.read(name) is not None or self._backend.is_behind(name, ()):
                raise AlreadyThere(f"The repository {name} exists already")
            self._records.remove(name)  # what is left of one whose removal was cut short
            first = Commit({}, message="initial commit", date=utc_now())
            self._records.write_commit(name, first)
            branches = {MAIN: first.oid}
            made = Repository(name, private, utc_now(), branches, exported=first.oid)
            self._records.write(made)
            return made

        return self._records.change(name, work)

    def delete(self, name: str) -> None:
        """Remove a repository and its artifact's revisions."""
        self.get(name)
        self._sync.remove(name)
        self._trees.forget(name)

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
        oid = self._oid(known or self.get(name), revision)
        return oid, self._records.read_commit(name, oid)

    def tree(self, name: str, revision: str, known: Repository | None = None) -> Tree:
        """The files of a commit, found as by `find`; raises NotFoundError."""
        repository = known or self.get(name)
        return self._trees.get(name, repository.created, self._oid(repository, revision))

    def history(self, name: str, revision: str) -> Iterator[tuple[str, Commit]]:
        """A commit and those before it, without their files."""
        repository = self.get(name)
        oid = self._oid(repository, revision)
        while oid:
            commit = self._trees.head(name, repository.created, oid)
            yield oid, commit
            oid = commit.parent

    def _oid(self, repository: Repository, revision: str) -> str:
        """The name of the commit that a revision is, or may be."""
        if revision in _ALSO_MAIN and revision not in repository.branches:
            revision = MAIN
        return repository.branches.get(revision) or repository.tags.get(revision) or revision

    def commit(
        self,
        name: str,
        branch: str,
        change: Callable[[dict[str, Blob]], None],
        *,
        message: str,
        parent: str = "",
        everything: bool = False,
    ) -> str:
        """Change a branch's tree, atomically.

        Args:
            name: ORG/NAME.
            branch: that is changed.
            change: is given the files of its newest commit, to change them.
            message: one line.
            parent: the commit that the change was made for; empty for any.
            everything: whoever commits may read all repositories, as in `missing`.

        Returns:
            The new commit; the old one if nothing changed.

        Raises:
            StaleParent: the branch has another commit than `parent`.
            IntegrityError: an unsafe name, or a content that was never uploaded.
        """
        self.get(name)

        def work() -> tuple[str, bool]:
            return self._commit(name, branch, change, message, parent, everything)

        oid, changed = self._records.change(name, work)
        if changed:
            self._sync.settle(name)
        else:  # what came once more may have taken the place of something damaged
            self._sync.renew(name, oid)
        return oid

    def require_newest(self, name: str, branch: str, parent: str) -> None:
        """Refuse a commit that was made for another one than a branch's newest, as `commit`."""
        _newest(self.get(name), branch, parent)

    def _commit(
        self,
        name: str,
        branch: str,
        change: Callable[[dict[str, Blob]], None],
        message: str,
        parent: str,
        everything: bool,
    ) -> tuple[str, bool]:
        """The branch's newest commit now, and whether it is a new one."""
        repository = self._sync.catch_up(name)
        branch, newest = _newest(repository, branch, parent)
        before = self._records.read_commit(name, newest)
        files = dict(before.files)
        change(files)
        if files == dict(before.files):
            return newest, False
        check_tree(files)
        new = {path: blob for path, blob in files.items() if before.files.get(path) != blob}
        sizes = {blob.sha256: blob.size for blob in new.values()}
        made = Commit(files, newest, message, utc_now())
        with self.contents.committing():  # or a cleaner could come between the two
            absent = self._missing(repository, sizes, everything)
            for path, blob in new.items():
                if blob.sha256 in absent:
                    raise IntegrityError(f"The content of {path} was never uploaded")
            self._records.write_commit(name, made)
        changed = replace(repository, branches={**repository.branches, branch: made.oid})
        if branch == MAIN:
            manifest = self._sync.artifact(name, made)
            if manifest is None:
                changed = replace(changed, exported=made.oid)
            else:
                # Before it is a revision, so that nobody takes that for one published otherwise.
                changed = changed.knowing(manifest.digest)
        self._records.write(changed)
        self._sent.drop(name, sizes)
        return made.oid, True

    def tag(self, name: str, tag: str, revision: str) -> None:
        """Give a commit a name.

        Raises:
            AlreadyThere: the tag exists.
        """
        oid, commit = self.find(name, revision)
        self._check_tag(name, tag, commit)

        def add(repository: Repository) -> Repository:
            if tag in repository.tags:
                raise AlreadyThere(f"{name} has a tag {tag} already")
            changed = replace(repository, tags={**repository.tags, tag: oid})
            # The registry finds digests without tags.
            untold = {} if tag.startswith("sha256-") else {tag: oid}
            return replace(changed, untold={**repository.untold, **untold})

        self._change(name, add)
        self._sync.settle(name)

    def _check_tag(self, name: str, tag: str, commit: Commit) -> None:
        """Refuse a tag that names something else: a commit, a branch, or another digest."""
        if tag.startswith(_DIGEST_TAG):
            manifest = self._sync.artifact(name, commit)
            if manifest is None or tag != f"{_DIGEST_TAG}{manifest.digest.hex}":
                raise IntegrityError(f"{tag[:80]} is not the digest of what it is given to")
        else:
            check_new_tags([tag])

    def remove_tag(self, name: str, tag: str) -> None:
        """Take a name from a commit, here and in the registry."""
        if tag not in self.get(name).tags:
            raise NotFoundError(f"{name} has no tag {tag}")
        self._sync.untag(name, tag)

    def branch(self, name: str, branch: str, revision: str = MAIN) -> None:
        """Begin a branch at a commit; raises AlreadyThere."""
        oid, _ = self.find(name, revision)
        check_new_tags([branch])

        def add(repository: Repository) -> Repository:
            if branch in repository.branches:
                raise AlreadyThere(f"{name} has a branch {branch} already")
            return replace(repository, branches={**repository.branches, branch: oid})

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

    def keep(self, name: str, contents: Sequence[bytes]) -> list[Blob]:
        """Keep small contents; what a commit's tree says of them."""
        self.contents.keep(name, contents)
        blobs = [Blob.of(content) for content in contents]
        self.note_sent(name, (blob.sha256 for blob in blobs))
        return blobs

    def note_sent(self, name: str, contents: Iterable[str]) -> None:
        """Note contents whose bytes came for a repository, by their sha256."""
        if not self.contents.isolated:
            self._sent.note(name, contents)

    def missing(self, name: str, sizes: Mapping[str, int], *, everything: bool) -> set[str]:
        """Which contents have to be sent for a repository.

        Args:
            name: ORG/NAME.
            sizes: in bytes, by sha256.
            everything: whoever asks may read all repositories; else what others have does not
                count, as knowing a sha256 must not be enough to get a file.
        """
        return self._missing(self.get(name), sizes, everything)

    def _missing(
        self, repository: Repository, sizes: Mapping[str, int], everything: bool
    ) -> set[str]:
        name = repository.name
        absent = self.contents.missing(name, sizes)
        if everything or self.contents.isolated:
            return absent
        heads = {*repository.branches.values()}
        trees = [self._trees.get(name, repository.created, oid) for oid in heads]
        own = {blob.sha256 for tree in trees for blob in tree.files.values()}
        others = sizes.keys() - own
        return absent | {sha256 for sha256 in others if not self._sent.has(name, sha256)}

    def _change(self, name: str, change: Callable[[Repository], Repository]) -> None:
        self.get(name)
        self._records.change(name, lambda: self._records.write(change(self._sync.catch_up(name))))


def _newest(repository: Repository, branch: str, parent: str) -> tuple[str, str]:
    """A branch by its own name, and its newest commit; raises as `Repositories.commit`."""
    if branch in _ALSO_MAIN and branch not in repository.branches:
        branch = MAIN
    if branch not in repository.branches:
        raise NotFoundError(f"{repository.name} has no branch {branch}")
    newest = repository.branches[branch]
    if parent and not (newest.startswith(parent) and len(parent) >= _SHORTEST):
        raise StaleParent(
            f"{branch} of {repository.name} is at {newest}, not at {parent}",
            remedy="Look at what was committed meanwhile, and commit again.",
        )
    return branch, newest
