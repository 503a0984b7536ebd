"""The port that every store implements."""

from __future__ import annotations

import hashlib
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from registry.artifact import Digest, FileEntry, Manifest
from registry.errors import IntegrityError
from registry.folder import Entry
from registry.listing import carried_manifest
from registry.payload import MANIFEST_FILE
from registry.progress import Observer, ignore
from registry.source import Source
from registry.stores.ahead import Send
from registry.transport import Patience, Stream, patiently
from registry.transport.stream import read_all

_SHOWN = 3  # digests in a message


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
    """One committed revision, for reading; also a `checkpoint.Source` of its metadata."""

    patience = Patience()
    # Whether the manifest was committed with the files by the store, or is what a hub tells.
    committed = True

    @property
    @abstractmethod
    def reference(self) -> str:
        """A reference that finds exactly this revision again."""

    @property
    def label(self) -> str:
        """How to name it in a message."""
        return self.reference

    @property
    @abstractmethod
    def manifest(self) -> Manifest:
        """What the revision holds: its own manifest, or one derived from its metadata.

        Raises:
            IntegrityError: the manifest is damaged, or is not that of the files beside it.
            IncompatibleError: nothing tells the sha256 of the files.
        """

    @abstractmethod
    def entries(self) -> Sequence[Entry]:
        """All files, with what is wrong with them, and their sha256 where the store knows it."""

    @abstractmethod
    def stream(self, path: str, offset: int, length: int) -> AbstractContextManager[Stream]:
        """Bytes `offset` to `offset + length` of a file, in one try.

        Raises:
            TransientError: may go well when tried again, here or while reading.
            NotFoundError: the revision has no such file.
            TransferError, NotAllowedError: the store could not deliver it.
        """

    def read(self, path: str, offset: int, length: int) -> bytes:
        """The same at once, tried again where that helps; fewer bytes at the file's end."""

        def one() -> bytes:
            with self.stream(path, offset, length) as stream:
                return read_all(stream, length)

        return patiently(self.patience, one) if length > 0 else b""

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
            NotFoundError: no such name or tag.
            IntegrityError: the name is there, and not with the digest that is pinned.
        """

    def sender(self, name: str, *, public: bool) -> Send | None:
        """What sends contents before `publish`, while it is not known yet what they belong to.

        Args:
            name: ORG/NAME that will be published.
            public: as for `publish`.

        Returns:
            None if contents have no place there before the digest of the whole is known.

        Raises:
            NotAllowedError, TransferError: as for `publish`.
        """
        return None

    @abstractmethod
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
        """Store a folder under its manifest's name and digest; visible only when all is there.

        Publishing what is already there moves nothing and only sets the tags.

        Args:
            folder: holds the files that the manifest lists; it is never written to.
            manifest: what is published.
            tags: set to this revision; `latest` always is.
            public: let anyone read it, where the store has private and public artifacts.
            extra: files of the manifest that lie elsewhere, by their paths in it.
            observe: is told the bytes moved.
            consume: the folder is qreg's own and will not change: files may be hard-linked.

        Raises:
            IntegrityError: a file is not what the manifest says.
            NotAllowedError: no permission, or what is there is public and that was not asked for.
            TransferError: the store could not take it.
        """


def file_of(folder: Path, extra: Mapping[str, Path] | None, path: str) -> Path:
    """Where a file of a manifest lies that is being published."""
    return (extra or {}).get(path) or folder / path


def not_the_pinned(
    url: str, name: str, pinned: Digest, there: Sequence[Published]
) -> IntegrityError:
    """The refusal of a digest where a store has only others of that name."""
    shown = ", ".join(str(revision.digest) for revision in there[:_SHOWN])
    more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
    return IntegrityError(
        f"{name} has no revision {pinned} in {url}; there is {shown}{more}",
        remedy="It was removed or replaced there; look for a copy elsewhere, or check the pin.",
    )


def as_published(manifest: Manifest, there: Source) -> Manifest:
    """A manifest as it stands in a repository already, if it is of the same files.

    Only the time of its making would differ, and publishing again would be a change.
    """
    known = carried_manifest(there)
    if known is not None and known.digest == manifest.digest:
        return replace(manifest, created=known.created)
    return manifest


def digest_tag(digest: Digest) -> str:
    """The tag that finds a digest on hubs, whose tags hold no colon: `sha256-…`."""
    return f"sha256-{digest.hex}"


@contextmanager
def written_manifest(manifest: Manifest) -> Iterator[tuple[FileEntry, Path]]:
    """`qreg.json` as a file to send, beside the files that it lists."""
    content = manifest.to_bytes()
    with tempfile.TemporaryDirectory(prefix="qreg-") as folder:
        file = Path(folder, MANIFEST_FILE)
        file.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        yield FileEntry(MANIFEST_FILE, len(content), sha256), file
