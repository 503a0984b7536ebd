"""A value that changes, in a bucket: a log of small objects, so that each change is one create.

    PREFIX00000001     the first value
    PREFIX00000002     … then; the last one counts

Every server that knows `If-None-Match: *` can do that; `If-Match`, which replacing one object in
place would need, some do not have.
"""

from __future__ import annotations

from registry.stores.s3.bucket import Bucket

_KEPT = 8  # entries of a log; older ones say nothing that matters


class Log:
    """The entries below one prefix.

    Args:
        bucket: holds them.
        prefix: of their keys, with a slash at its end.
    """

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket, self._prefix = bucket, prefix

    def key(self, number: int) -> str:
        """Of an entry."""
        return f"{self._prefix}{number:08d}"

    def numbers(self) -> list[int]:
        """Of the entries that are there, in order."""
        names = (row["Key"][len(self._prefix) :] for row in self._bucket.list(self._prefix))
        return [int(name) for name in names if name.isdecimal()]

    def read(self, number: int) -> bytes:
        """An entry."""
        return self._bucket.get(self.key(number))

    def create(self, number: int, content: bytes) -> None:
        """Write the next entry; raises Conflict if somebody else was faster."""
        self._bucket.create(self.key(number), content)

    def drop(self, number: int) -> None:
        """Remove an entry."""
        self._bucket.delete(self.key(number))

    def prune(self, numbers: list[int]) -> None:
        """Remove those of these entries that say nothing any more."""
        for number in numbers[:-_KEPT]:
            self.drop(number)
