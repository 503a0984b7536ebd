"""The port that a hub's repositories are kept behind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TypeVar

from registry.artifact import Manifest
from registry.errors import IncompatibleError
from registry.hub.commits import Commit
from registry.hub.repository import Repository
from registry.hub.sinks import Sink
from registry.stores import Store
from registry.transport import Stream

T = TypeVar("T")


class Contents(ABC):
    """Contents of a hub's files, by their sha256."""

    # Whether large contents can be received in parts, in any order.
    takes_parts = False
    # Whether repositories have their own contents each, and share none.
    isolated = False

    @abstractmethod
    def has(self, name: str, sha256: str, size: int) -> bool:
        """Whether a content is there for a repository.

        Args:
            name: ORG/NAME of the repository.
            sha256: of the content.
            size: in bytes.
        """

    def missing(self, name: str, sizes: Mapping[str, int]) -> set[str]:
        """Which of several contents, sizes by sha256, are not there for a repository."""
        return {sha256 for sha256, size in sizes.items() if not self.has(name, sha256, size)}

    @abstractmethod
    def keep(self, name: str, contents: Sequence[bytes]) -> None:
        """Put small contents in."""

    @abstractmethod
    def stream(
        self, name: str, sha256: str, offset: int, length: int
    ) -> AbstractContextManager[Stream]:
        """Bytes `offset` to `offset + length` of a content; raises NotFoundError."""

    @abstractmethod
    def sink(self, name: str, sha256: str, size: int) -> Sink:
        """What receives a content in one piece."""

    @abstractmethod
    def collect(
        self,
        names: Callable[[], Iterable[str]],
        named: Callable[[str], Collection[str]],
        *,
        older_than: float,
        dry: bool,
    ) -> int | None:
        """Remove contents that no commit and no revision names.

        Commits that come meanwhile lose nothing.

        Args:
            names: tells all repositories.
            named: tells the contents that the commits of a repository name.
            older_than: seconds since a content was uploaded or asked for; one that is younger may
                be about to be named.
            dry: only say what would go.

        Returns:
            Bytes that were freed; None if others are writing right now.
        """

    def committing(self) -> AbstractContextManager[None]:
        """The time between a look at what is there and the commit that names it."""
        return nullcontext()

    def require_space(self, size: int) -> None:  # noqa: B027 - most places have no limit to tell
        """Raise TransferError if so many bytes have no place."""

    def part(self, name: str, sha256: str, offset: int, length: int) -> Sink:
        """What receives a part of a content, where `takes_parts` says so."""
        raise IncompatibleError("This hub takes no parts", remedy="Send the file as one.")

    def join(self, name: str, sha256: str, size: int) -> str:
        """Check a content whose parts have all arrived, and keep it.

        Returns:
            The sha256 of what arrived; if it is another one, nothing is kept.

        Raises:
            NotFoundError: no part has arrived.
        """
        raise IncompatibleError("This hub takes no parts", remedy="Send the file as one.")


class Records(ABC):
    """What a hub knows of its repositories; it survives SIGKILL at any moment."""

    @abstractmethod
    def names(self) -> list[str]:
        """The names of all repositories."""

    @abstractmethod
    def read(self, name: str) -> Repository | None:
        """A repository as it was written last; None if there is none."""

    @abstractmethod
    def change(self, name: str, work: Callable[[], T]) -> T:
        """Do what reads and then writes a repository; nobody else's change comes between.

        Args:
            name: ORG/NAME.
            work: is done once, or again where somebody else was faster.

        Returns:
            What it returned.
        """

    @abstractmethod
    def write(self, repository: Repository) -> None:
        """Replace what is known of a repository, inside of `change`."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Forget a repository."""

    @abstractmethod
    def read_commit(self, name: str, oid: str) -> Commit:
        """A commit by its name; raises NotFoundError."""

    @abstractmethod
    def commits(self, name: str) -> Iterator[Commit]:
        """All commits of a repository, also those that no branch leads to."""

    @abstractmethod
    def write_commit(self, name: str, commit: Commit) -> None:
        """Keep a commit, before a branch points to it."""


class Backend(ABC):
    """Contents, records, and the artifacts of a registry beside them.

    Attributes:
        store: the registry that the hub's repositories are in step with.
        contents: of files.
        records: of repositories.
        state: a folder of this machine for tokens and the secret that signs addresses.
    """

    store: Store
    contents: Contents
    records: Records
    state: Path

    @property
    def is_readable_for_all(self) -> bool:
        """Whether every user of this machine can read private repositories where they lie."""
        return False

    @abstractmethod
    def prepare(self) -> None:
        """Get ready to take contents; raises what keeps it from that."""

    @abstractmethod
    def is_behind(self, name: str, known: Collection[str]) -> bool:
        """Whether the registry has revisions of an artifact whose digests are not known.

        Args:
            name: ORG/NAME.
            known: digests, `sha256:…`.
        """

    @abstractmethod
    def export(self, manifest: Manifest, tags: Iterable[str], *, newest: bool) -> None:
        """Make a revision of contents that are all there; takes long where they are copied.

        Args:
            manifest: what it is.
            tags: set to it.
            newest: it is the newest revision, `latest`.
        """

    @abstractmethod
    def untag(self, name: str, tag: str) -> None:
        """Remove a tag from the registry, if it has it."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a repository, and its artifact's revisions from the registry."""
