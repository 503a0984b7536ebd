"""What revisions on hubs have in common: their manifest is derived from what the hub lists."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from registry.artifact import Digest, Manifest, payload_digest
from registry.describe import describe_source
from registry.errors import NotFoundError, QregError
from registry.folder import Entry
from registry.listing import read_carried_manifest, require_files
from registry.payload import MANIFEST_FILE, in_hidden_folder, is_payload
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
    def doubt(self) -> str:
        """Why the hub's own `qreg.json` was not used, in a sentence; empty where it was."""
        listed = any(entry.path == MANIFEST_FILE for entry in self.entries())
        if self.manifest.provenance or not listed:
            return ""
        try:
            read_carried_manifest(self)
        except QregError as error:
            return (
                f"{MANIFEST_FILE} of {self.label} cannot be used: {error.message} Its files are "
                "described from their own metadata, without provenance; who owns it can publish it "
                "again from its origin."
            )
        return ""

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


def part_of_artifact(listed: Iterable[Entry]) -> tuple[Entry, ...]:
    """A hub's listing without what lies in hidden folders; what is wrong with it stays."""
    return tuple(entry for entry in listed if entry.problem or not in_hidden_folder(entry.path))
