"""What revisions on hubs have in common: their manifest is derived from what the hub lists."""

from __future__ import annotations

from functools import cached_property

from registry.artifact import Digest, Manifest, is_payload, payload_digest
from registry.describe import describe_source
from registry.errors import NotFoundError
from registry.listing import require_files
from registry.stores.interface import Snapshot


class HubSnapshot(Snapshot):
    """A revision of a repository on a hub.

    Attributes:
        name: ORG/NAME.
    """

    committed = False
    name: str

    @cached_property
    def manifest(self) -> Manifest:
        return describe_source(self, self.name)

    @cached_property
    def digest(self) -> Digest:
        """Of the payload, from the listing; small files are read.

        Raises:
            NotFoundError: there is none: a repository begins empty, and is no artifact then.
        """
        files = require_files(self)
        if not any(is_payload(entry.path) for entry in files):
            raise NotFoundError(
                f"{self.label} is empty", remedy="Whoever publishes to it has not finished yet."
            )
        return payload_digest(files)
