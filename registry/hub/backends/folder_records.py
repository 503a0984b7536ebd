"""What a hub knows of its repositories, in a folder.

ROOT/repositories/ORG/NAME/repository.json    visibility, branches, tags; replaced atomically
ROOT/repositories/ORG/NAME/commits/OID.json   trees, written before a branch points to them
ROOT/locks/ORG--NAME.lock                     held while a repository is changed
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from registry.errors import NotFoundError
from registry.files import remove_file, remove_tree, write_atomically
from registry.hub.backends.interface import Records
from registry.hub.commits import Commit, check_oid
from registry.hub.repository import Repository, read_repository
from registry.names import check_name

T = TypeVar("T")


class FolderRecords(Records):
    """The files of a hub.

    Args:
        root: their folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> list[str]:
        found = (self._root / "repositories").glob("*/*/repository.json")
        return sorted(f"{path.parent.parent.name}/{path.parent.name}" for path in found)

    def read(self, name: str) -> Repository | None:
        try:
            content = (self._home(name) / "repository.json").read_bytes()
        except FileNotFoundError:
            return None
        return read_repository(name, content)

    def change(self, name: str, work: Callable[[], T]) -> T:
        lock = self._root / "locks" / f"{check_name(name).replace('/', '--')}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            return work()

    def write(self, repository: Repository) -> None:
        content = json.dumps(repository.to_json(), indent=1).encode()
        write_atomically(self._home(repository.name) / "repository.json", content)

    def remove(self, name: str) -> None:
        home = self._home(name)
        remove_file(home / "repository.json")  # without it there is no repository
        remove_tree(home)

    def read_commit(self, name: str, oid: str) -> Commit:
        path = self._home(name) / "commits" / f"{check_oid(name, oid)}.json"
        try:
            return Commit.from_bytes(path.read_bytes(), oid)
        except FileNotFoundError as error:
            raise NotFoundError(f"{name} has no revision {oid!r}") from error

    def commits(self, name: str) -> Iterator[Commit]:
        for path in sorted((self._home(name) / "commits").glob("*.json")):
            if not path.name.startswith("."):
                yield Commit.from_bytes(path.read_bytes(), path.stem)

    def write_commit(self, name: str, commit: Commit) -> None:
        content = json.dumps(commit.to_json()).encode()
        write_atomically(self._home(name) / "commits" / f"{commit.oid}.json", content)

    def _home(self, name: str) -> Path:
        return self._root / "repositories" / check_name(name)
