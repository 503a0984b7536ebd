"""What is sent to stores while a publication is still being hashed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from registry.artifact import FileEntry, Manifest
from registry.errors import QregError, TransferError
from registry.payload import is_payload
from registry.progress import Observer
from registry.stores import Store
from registry.stores.ahead import Ahead


@dataclass(frozen=True)
class Begun:
    """A store that is published to.

    Attributes:
        store: it.
        ahead: what is being sent to it already; None if it takes nothing yet.
        failure: why it cannot be published to; told when its turn comes.
    """

    store: Store
    ahead: Ahead | None = None
    failure: QregError | None = None

    def finish(self, observe: Observer) -> None:
        """Wait for what is being sent; raises what went wrong with it."""
        if self.failure is not None:
            raise self.failure
        if self.ahead is not None:
            self.ahead.finish(observe)

    def stop(self) -> None:
        """Send nothing more."""
        if self.ahead is not None:
            self.ahead.stop()


def begin(stores: Iterable[Store], name: str, total: int, *, public: bool) -> list[Begun]:
    """Get the stores ready to take contents.

    Args:
        stores: that are published to.
        name: ORG/NAME.
        total: bytes of all files.
        public: let anyone read it, on hubs.
    """
    return [_begin(store, name, total, public) for store in stores]


def _begin(store: Store, name: str, total: int, public: bool) -> Begun:
    try:
        send = store.sender(name, public=public)
    except (QregError, OSError) as error:
        return Begun(store, failure=as_failure(error, store, name))
    return Begun(store, Ahead(send, total) if send else None)


def as_failure(error: QregError | OSError, store: Store, name: str) -> QregError:
    """What went wrong with one destination; the others do not stop for what its disk says."""
    if isinstance(error, QregError):
        return error
    failure = TransferError(
        f"Publishing {name} to {store.url} failed: {error}",
        remedy="Check that the destination can be written to, then publish again.",
    )
    failure.__cause__ = error
    return failure


def offering(
    begun: Iterable[Begun], folder: Path, known: Manifest | None
) -> Callable[[FileEntry], None]:
    """A function that offers each hashed file to the stores.

    Nothing more goes out once a file is not what the folder's own manifest says: the publication
    will be refused.

    Args:
        begun: the stores.
        folder: holds the files.
        known: the manifest that the folder carries, unless it does not count.
    """
    listed = {entry.path: entry for entry in known.files} if known else {}
    takers = [one.ahead for one in begun if one.ahead is not None]

    def offer(entry: FileEntry) -> None:
        if known is not None and is_payload(entry.path) and listed.get(entry.path) != entry:
            takers.clear()
        for ahead in list(takers):
            ahead.offer(entry, folder / entry.path)

    return offer
