"""What is known of one repository of a hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from registry.artifact import Digest
from registry.hub.commits import DamagedRecord


@dataclass(frozen=True)
class Repository:
    """One repository's names.

    Attributes:
        name: ORG/NAME.
        private: whether reading it takes a token.
        created: ISO 8601 UTC.
        branches, tags: commits by name.
        known: digests of the registry's revisions that are commits here.
        exported: the newest commit of the main branch that the registry was told of.
        untold: tags that the registry was not told of yet, with their commits.
        version: counts the changes of it, where its records need that.
    """

    name: str
    private: bool = True
    created: str = ""
    branches: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    known: tuple[str, ...] = ()
    exported: str = ""
    untold: Mapping[str, str] = field(default_factory=dict)
    version: int = 0

    def knowing(self, digest: Digest) -> Repository:
        """The same, with a revision of the registry that is a commit here."""
        return replace(self, known=tuple(dict.fromkeys((*self.known, str(digest)))))

    def to_json(self) -> dict[str, Any]:
        """As it is kept."""
        return {
            "private": self.private,
            "created": self.created,
            "branches": dict(self.branches),
            "tags": dict(self.tags),
            "known": list(self.known),
            "exported": self.exported,
            "untold": dict(self.untold),
        }

    @classmethod
    def from_json(cls, name: str, value: Mapping[str, Any], version: int = 0) -> Repository:
        """Read it back."""
        return cls(
            name,
            bool(value["private"]),
            value["created"],
            value["branches"],
            value["tags"],
            tuple(value["known"]),
            value.get("exported", ""),
            value.get("untold", {}),
            version,
        )


def read_repository(name: str, content: bytes, version: int = 0) -> Repository:
    """Read a repository's record as it was kept.

    Raises:
        DamagedRecord: it is.
    """
    try:
        kept = msgspec.json.decode(content, type=_Kept)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedRecord(
            f"What the hub keeps of {name} is damaged",
            remedy="Restore it from a backup, or delete the repository and upload it again.",
        ) from error
    return Repository.from_json(name, msgspec.structs.asdict(kept), version)


class _Kept(msgspec.Struct):
    private: bool
    created: str
    branches: dict[str, str]
    tags: dict[str, str]
    known: list[str]
    exported: str = ""
    untold: dict[str, str] = {}
