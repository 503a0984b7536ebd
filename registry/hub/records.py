"""What a hub knows of its repositories, on disk; it survives SIGKILL at any moment.

ROOT/repositories/ORG/NAME/repository.json    visibility, branches, tags; replaced atomically
ROOT/repositories/ORG/NAME/commits/OID.json   trees, written before a branch points to them
ROOT/locks/ORG--NAME.lock                     held while a repository is changed
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from registry.errors import NotFoundError
from registry.files import remove_tree, write_atomically
from registry.hub.commits import Commit
from registry.names import check_name


@dataclass(frozen=True)
class Repository:
    """One repository's names.

    Attributes:
        name: ORG/NAME.
        private: whether reading it takes a token.
        created: ISO 8601 UTC.
        branches, tags: commits by name.
        known: digests of the registry's revisions that are commits here.
    """

    name: str
    private: bool = True
    created: str = ""
    branches: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    known: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As it is kept on disk."""
        return {
            "private": self.private,
            "created": self.created,
            "branches": dict(self.branches),
            "tags": dict(self.tags),
            "known": list(self.known),
        }


class Records:
    """The files of a hub.

    Args:
        root: their folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> list[str]:
        """The names of all repositories."""
        found = (self._root / "repositories").glob("*/*/repository.json")
        return sorted(f"{path.parent.parent.name}/{path.parent.name}" for path in found)

    def remove(self, name: str) -> None:
        """Forget a repository."""
        remove_tree(self._home(name))

    def _home(self, name: str) -> Path:
        return self._root / "repositories" / check_name(name)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Held while a repository is changed, by threads and processes."""
        lock = self._root / "locks" / f"{check_name(name).replace('/', '--')}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            yield

    def read(self, name: str) -> Repository | None:
        """A repository as it was written last; None if there is none."""
        try:
            value = json.loads((self._home(name) / "repository.json").read_bytes())
        except FileNotFoundError:
            return None
        return Repository(
            name,
            bool(value["private"]),
            value["created"],
            value["branches"],
            value["tags"],
            tuple(value["known"]),
        )

    def write(self, repository: Repository) -> None:
        """Replace what is known of a repository."""
        content = json.dumps(repository.to_json(), indent=1).encode()
        write_atomically(self._home(repository.name) / "repository.json", content)

    def read_commit(self, name: str, oid: str) -> Commit:
        """A commit by its name; raises NotFoundError."""
        if not (oid.isalnum() and 7 <= len(oid) <= 40):
            raise NotFoundError(f"{name} has no revision {oid[:80]!r}")
        path = self._home(name) / "commits" / f"{oid}.json"
        try:
            return Commit.from_json(json.loads(path.read_bytes()))
        except FileNotFoundError as error:
            raise NotFoundError(f"{name} has no revision {oid!r}") from error

    def write_commit(self, name: str, commit: Commit) -> None:
        """Keep a commit, before a branch points to it."""
        content = json.dumps(commit.to_json()).encode()
        write_atomically(self._home(name) / "commits" / f"{commit.oid}.json", content)
