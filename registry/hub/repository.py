"""What is known of one repository of a hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
        version: counts the changes of it, where its records need that.
    """

    name: str
    private: bool = True
    created: str = ""
    branches: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    known: tuple[str, ...] = ()
    exported: str = ""
    version: int = 0

    def to_json(self) -> dict[str, Any]:
        """As it is kept."""
        return {
            "private": self.private,
            "created": self.created,
            "branches": dict(self.branches),
            "tags": dict(self.tags),
            "known": list(self.known),
            "exported": self.exported,
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
            version,
        )
