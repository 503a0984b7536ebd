"""What a hub knows of its repositories, in a bucket.

    …/ORG/NAME/.hub/repository/00000001   visibility, branches, tags; the last one counts
    …/ORG/NAME/.hub/commits/OID.json      trees, written before a branch points to them

As with tags, each change is one atomic create: whoever changes a repository at the same moment, in
this process or in another hub over the same bucket, finds the number taken and begins anew.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TypeVar

from registry.errors import NotFoundError, TransferError
from registry.hub.backends.interface import Records
from registry.hub.backends.recent import Recent
from registry.hub.commits import Commit, check_oid
from registry.hub.repository import Repository, read_repository
from registry.names import check_name
from registry.stores.s3.bucket import Conflict
from registry.stores.s3.log import Log
from registry.stores.s3.store import S3Store

T = TypeVar("T")
_TRIES = 50  # changes of one repository at one moment


class BucketRecords(Records):
    """The records of a hub below the artifacts' own prefixes.

    Args:
        store: whose bucket holds them.
    """

    def __init__(self, store: S3Store) -> None:
        self._store, self._bucket = store, store.bucket
        self._recent: Recent[Repository | None] = Recent()
        self._locks: dict[str, threading.RLock] = {}
        self._commit = lru_cache(maxsize=64)(self._read_commit)

    def names(self) -> list[str]:
        return list(self._store.names())

    def read(self, name: str) -> Repository | None:
        return self._recent.get(check_name(name), lambda: self._read(name))

    def change(self, name: str, work: Callable[[], T]) -> T:
        # Those of this process take turns; those of others are seen by their conflicts.
        with self._locks.setdefault(check_name(name), threading.RLock()):
            for _ in range(_TRIES):
                self._recent.forget(name)
                try:
                    return work()
                except Conflict:
                    continue
        raise TransferError(f"Others change {name} all the time", remedy="Try again later.")

    def write(self, repository: Repository) -> None:
        name, log = repository.name, self._log(repository.name)
        number = repository.version + 1
        content = json.dumps(repository.to_json()).encode()
        try:
            log.create(number, content)
        except Conflict:
            # Ours, if the answer to a first try was lost.
            if log.read(number) != content:
                raise
        self._recent.forget(name)
        numbers = log.numbers()
        if repository.version and repository.version not in numbers:
            # Others went far beyond what was changed here, or removed it.
            log.drop(number)
            raise Conflict(f"{name} was changed meanwhile")
        log.prune(numbers)

    def remove(self, name: str) -> None:
        home = self._home(name)
        for prefix in (f"{home}repository/", home):  # first what makes it visible
            for row in list(self._bucket.list(prefix)):
                self._bucket.delete(row["Key"])
        self._recent.forget(name)
        self._commit.cache_clear()  # another repository may get the name

    def read_commit(self, name: str, oid: str) -> Commit:
        return self._commit(name, check_oid(name, oid))

    def commits(self, name: str) -> Iterator[Commit]:
        for row in self._bucket.list(f"{self._home(name)}commits/"):
            oid = row["Key"].rpartition("/")[2].removesuffix(".json")
            yield Commit.from_bytes(self._bucket.get(row["Key"]), oid)

    def write_commit(self, name: str, commit: Commit) -> None:
        key = f"{self._home(name)}commits/{commit.oid}.json"
        try:
            self._bucket.create(key, json.dumps(commit.to_json()).encode())
        except Conflict:
            pass  # its name is its content

    def _read_commit(self, name: str, oid: str) -> Commit:
        try:
            return Commit.from_bytes(self._bucket.get(f"{self._home(name)}commits/{oid}.json"), oid)
        except NotFoundError as error:
            raise NotFoundError(f"{name} has no revision {oid!r}") from error

    def _read(self, name: str) -> Repository | None:
        log = self._log(name)
        numbers = log.numbers()
        if not numbers:
            return None
        return read_repository(name, log.read(numbers[-1]), numbers[-1])

    def _log(self, name: str) -> Log:
        return Log(self._bucket, f"{self._home(name)}repository/")

    def _home(self, name: str) -> str:
        return f"{self._store.home(name)}.hub/"
