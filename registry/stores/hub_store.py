"""What stores on hubs have in common: how a name, a tag or a digest finds a revision."""

from __future__ import annotations

from abc import abstractmethod

from registry.artifact import Digest
from registry.errors import IntegrityError, NotFoundError, UsageError
from registry.names import check_name
from registry.progress import Note
from registry.stores.hub_snapshot import HubSnapshot
from registry.stores.interface import Store, digest_tag


def stays_private(reference: str) -> Note:
    """What to tell who publishes for anyone to read, to a repository that is not for anyone."""
    return Note(
        f"{reference} is private and stays so, though --public was asked for: qreg opens no "
        "repository that exists. Make it public on the hub.",
        warning=True,
    )


class HubStore(Store):
    """Artifacts as repositories of a hub.

    A digest finds its revision through the tag `sha256-…` that publishing sets, also when the main
    branch has moved on; the revision's own listing must confirm it.
    """

    @property
    def exists(self) -> bool:
        return True

    def names(self) -> list[str]:
        raise UsageError(
            "The artifacts of a whole hub are not listed",
            remedy=f"Name one: qreg list ORG/NAME --from {self.url} .",
        )

    @abstractmethod
    def open(self, name: str, revision: str | None) -> HubSnapshot:
        """A revision by branch, tag or commit; the newest of the main branch if None."""

    def snapshot(
        self, name: str, *, revision: str | None = None, digest: Digest | None = None
    ) -> HubSnapshot:
        check_name(name)
        if digest is None:
            return self.open(name, revision)
        for where in (digest_tag(digest), revision):
            try:
                found = self.open(name, where)
            except NotFoundError:
                if where is revision:
                    raise
                continue
            if found.digest == digest:
                return found
        raise IntegrityError(
            f"{self.url}{name} has no revision {digest}; its newest is {found.digest}",
            remedy="It was replaced on the hub; look for a copy elsewhere, or check the pin.",
        )
