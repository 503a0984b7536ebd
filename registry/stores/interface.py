"""The port that every store implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from registry.artifact import Digest, Manifest
from registry.progress import Observer, ignore


@dataclass(frozen=True)
class Published:
    """One revision of an artifact in a store.

    Attributes:
        name: ORG/NAME.
        digest: of the payload.
        tags: that point to this revision; `latest` is the one published last.
        published: when, ISO 8601 UTC.
    """

    name: str
    digest: Digest
    tags: tuple[str, ...]
    published: str


class Snapshot(ABC):
    """One committed revision, for reading."""

    @property
    @abstractmethod
    def reference(self) -> str:
        """A reference that finds exactly this revision again, with its digest."""

    @property
    @abstractmethod
    def manifest(self) -> Manifest:
        """What the revision holds."""

    @abstractmethod
    def read(self, path: str, offset: int, length: int) -> bytes:
        """`length` bytes at `offset` of a file; fewer at its end.

        Raises:
            NotFoundError: the revision has no such file.
            TransferError: the store could not deliver it.
        """

    @property
    def folder(self) -> Path | None:
        """Where the files lie on this machine, or None for a remote store."""
        return None


class Store(ABC):
    """A place that holds named artifacts under their digests."""

    @property
    @abstractmethod
    def url(self) -> str:
        """How a user names this store."""

    @property
    @abstractmethod
    def exists(self) -> bool:
        """Whether anything was ever published there."""

    @abstractmethod
    def names(self) -> Iterable[str]:
        """All names, sorted."""

    @abstractmethod
    def revisions(self, name: str) -> list[Published]:
        """All committed revisions of a name, newest first; empty for an unknown name."""

    @abstractmethod
    def snapshot(
        self, name: str, *, revision: str | None = None, digest: Digest | None = None
    ) -> Snapshot:
        """Find a revision by tag, by digest, or the newest.

        Raises:
            NotFoundError: no such name, tag or digest.
            IntegrityError: the revision found is not the one that is pinned.
        """

    @abstractmethod
    def publish(
        self,
        folder: Path,
        manifest: Manifest,
        *,
        tags: Iterable[str] = (),
        observe: Observer = ignore,
        consume: bool = False,
    ) -> Published:
        """Store a folder under its manifest's name and digest; visible only when all is there.

        Publishing what is already there moves nothing and only sets the tags.

        Args:
            folder: holds the files that the manifest lists; it is never written to.
            manifest: what is published.
            tags: set to this revision; `latest` always is.
            observe: is told the bytes moved.
            consume: the folder is qreg's own and will not change: files may be hard-linked.

        Raises:
            IntegrityError: a file is not what the manifest says.
            TransferError: the store could not take it.
        """
