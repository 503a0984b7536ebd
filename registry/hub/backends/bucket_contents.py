"""Contents of a hub's files in a bucket.

    …/ORG/NAME/.hub/contents/SHA256   what was uploaded
    …/ORG/NAME/DIGEST/…               what became part of a revision: it lies there alone

Bodies go to the bucket as they come, part by part; what is not what was announced is dropped
before it becomes an object. So a hub needs no disk, and little memory.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial

from registry.artifact import Digest, FileEntry
from registry.errors import IntegrityError, NotFoundError
from registry.hub.backends.interface import Contents
from registry.hub.sinks import Sink
from registry.stores.s3.store import S3Store
from registry.stores.s3.writing import Writing, part_size
from registry.transport import Stream

_AT_ONCE = 8  # small contents that are sent at once
_UNDER_WAY = 24 * 3600  # seconds that an address to upload to is valid
_PART = 8 * 2**20  # bytes that are sent to the bucket at once; S3 takes 5 MiB and more


class BucketContents(Contents):
    """Contents of each repository below its artifact's prefix.

    Args:
        store: whose bucket holds them.
    """

    isolated = True

    def __init__(self, store: S3Store) -> None:
        self._store, self._bucket = store, store.bucket
        self._files: dict[str, dict[Digest, Mapping[str, str]]] = {}
        # Uploaded although a revision has them: what lies there is damaged.
        self._put_back: set[tuple[str, str]] = set()

    def has(self, name: str, sha256: str, size: int) -> bool:
        return not self.missing(name, {sha256: size})

    def missing(self, name: str, sizes: Mapping[str, int]) -> set[str]:
        # One look for a thousand of them, where a question for each would take as many.
        there = self.uploaded(name)
        absent = {
            sha256
            for sha256, size in sizes.items()
            if there.get(sha256) != size or not self._is_as_sent(name, sha256, size)
        }
        if not absent:
            return absent
        revisions, unaltered = self.exported(name), dict[str, int]()
        for digest in self._files.get(name, {}):
            unaltered.update(self._store.unaltered(name, digest))
        return {s for s in absent if unaltered.get(revisions.get(s, "")) != sizes[s]}

    def _is_as_sent(self, name: str, sha256: str, size: int) -> bool:
        """Whether an upload has our metadata: whoever replaces it does not know that."""
        key = self.key(name, sha256)
        return self._store.has(key, FileEntry(key, size, sha256))

    def keep(self, name: str, contents: Sequence[bytes]) -> None:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for _ in pool.map(partial(self._keep, name), contents):
                pass

    def _keep(self, name: str, content: bytes) -> None:
        sha256 = hashlib.sha256(content).hexdigest()
        self._bucket.put(self.key(name, sha256), content, sha256)
        self._note(name, sha256)

    def _note(self, name: str, sha256: str) -> None:
        if any(sha256 in files for files in self._files.get(name, {}).values()):
            self._put_back.add((name, sha256))

    @contextmanager
    def stream(self, name: str, sha256: str, offset: int, length: int) -> Iterator[Stream]:
        with ExitStack() as opened:
            try:
                stream = opened.enter_context(self._open(name, sha256, offset, length))
            except NotFoundError:  # a revision that was known is gone
                self._files.pop(name, None)
                stream = opened.enter_context(self._open(name, sha256, offset, length))
            yield stream

    def _open(
        self, name: str, sha256: str, offset: int, length: int
    ) -> AbstractContextManager[Stream]:
        key = self.find(name, sha256)
        if key is None:
            raise NotFoundError(f"The content {sha256} is missing in {self._store.url}/{name}")
        what = f"{sha256[:12]} of {self._store.url}/{name}"
        return self._store.transport.stream(what, self._bucket.address(key), offset, length)

    def sink(self, name: str, sha256: str, size: int) -> BucketSink:
        kept = partial(self._note, name, sha256)
        return BucketSink(self._store, self.key(name, sha256), sha256, size, kept)

    def collect(
        self,
        names: Callable[[], Iterable[str]],
        named: Callable[[str], Collection[str]],
        *,
        older_than: float,
        dry: bool,
    ) -> int:
        freed = 0
        for name in names():
            prefix, now = self.key(name, ""), time.time()
            rows = list(self._bucket.list(prefix))
            contents = named(name)  # after the look at what is there: commits come meanwhile
            for row in rows:
                age = now - row["LastModified"].timestamp()
                if row["Key"][len(prefix) :] not in contents and age >= older_than:
                    freed += int(row["Size"])
                    if not dry:
                        self._bucket.delete(row["Key"])
            if not dry:
                # Nothing tells an upload that is under way from one that was given up.
                self._bucket.abort_stale(prefix, max(older_than, _UNDER_WAY))
        return freed

    def find(self, name: str, sha256: str) -> str | None:
        """The key of a content; None if it is not there."""
        for files in list(self._files.get(name, {}).values()):
            if sha256 in files and (name, sha256) not in self._put_back:
                return files[sha256]
        uploaded = self.key(name, sha256)
        if self._bucket.head(uploaded) is not None:
            return uploaded
        return self.exported(name).get(sha256)

    def exported(self, name: str) -> Mapping[str, str]:
        """The keys of contents that are parts of revisions, by their sha256."""
        before = self._files.get(name, {})
        known: dict[Digest, Mapping[str, str]] = {}
        found: dict[str, str] = {}
        for digest in self._store.digests(name):
            try:
                known[digest] = before.get(digest) or self._store.files(name, digest)
            except (NotFoundError, IntegrityError):
                continue  # it is just being published, or was altered
            found.update(known[digest])
        self._files[name] = known
        return found

    def forget(self, name: str) -> None:
        """Look revisions up anew: the repository was removed."""
        self._files.pop(name, None)

    def uploaded(self, name: str) -> Mapping[str, int]:
        """The sizes of contents that were uploaded and are no part of a revision, by sha256."""
        prefix = self.key(name, "")
        return {row["Key"][len(prefix) :]: row["Size"] for row in self._bucket.list(prefix)}

    def drop(self, name: str, sha256: str) -> None:
        """Remove what was uploaded: a revision has it."""
        self._bucket.delete(self.key(name, sha256))
        self._put_back.discard((name, sha256))

    def key(self, name: str, sha256: str) -> str:
        """Where a content lies that was uploaded."""
        return f"{self._store.home(name)}.hub/contents/{sha256}"


class BucketSink(Sink):
    """A body on its way into an object, which is there when it is kept."""

    def __init__(
        self, store: S3Store, key: str, sha256: str, size: int, kept: Callable[[], None]
    ) -> None:
        super().__init__(size, part_size(size, _PART))
        self._kept = kept
        self._bucket, self._key, self._announced = store.bucket, key, sha256
        self._whole = b""
        self._writing: Writing | None = None

    def write(self, content: memoryview, offset: int) -> None:
        if self.limit <= len(self.buffer):
            self._whole += bytes(content)
            return
        if self._writing is None:
            self._writing = Writing(self._bucket, self._key, self._announced)
        self._writing.add(bytes(content))

    def finish(self) -> None:
        """Nothing is left to wait for."""

    def keep(self) -> None:
        if self._writing is None:
            self._bucket.put(self._key, self._whole, self._announced)
        else:
            self._writing.complete()
            self._writing = None
        self._kept()

    def close(self) -> None:
        super().close()
        if self._writing is not None:
            self._writing.abort()
