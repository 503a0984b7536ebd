"""Tags on S3: a log of small objects, so that each change is one atomic create.

    …/NAME/.tags/TAG/00000001     the digest that the tag was given first
    …/NAME/.tags/TAG/00000002     … then; the last one counts

Every server that knows `If-None-Match: *` can do that; `If-Match`, which replacing one object in
place would need, some do not have.
"""

from __future__ import annotations

from registry.artifact import Digest
from registry.errors import TransferError
from registry.stores.s3.bucket import Bucket, Conflict

_KEPT = 8  # entries of a log; older ones say nothing that matters
_TRIES = 20  # publishers that set one tag at one moment


class Tags:
    """The tags of one artifact.

    Args:
        bucket: holds them.
        prefix: of the artifact, with a slash at its end.
    """

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket, self._prefix = bucket, f"{prefix}.tags/"

    def all(self) -> dict[str, Digest]:
        """What each tag points to."""
        last: dict[str, str] = {}
        for row in self._bucket.list(self._prefix):
            tag, _, number = row["Key"][len(self._prefix) :].partition("/")
            if number.isdigit():
                last[tag] = row["Key"]
        return {tag: self._read(key) for tag, key in last.items()}

    def get(self, tag: str) -> Digest | None:
        """What one tag points to."""
        log = self._log(tag)
        return self._read(log[-1]) if log else None

    def set(self, tag: str, digest: Digest) -> None:
        """Let a tag point to a digest."""
        for _ in range(_TRIES):
            log = self._log(tag)
            if log and self._read(log[-1]) == digest:
                return
            number = int(log[-1].rpartition("/")[2]) + 1 if log else 1
            try:
                self._bucket.create(f"{self._prefix}{tag}/{number:08d}", f"{digest}\n".encode())
            except Conflict:
                continue  # somebody else was faster; ours comes after it
            for key in log[:-_KEPT]:
                self._bucket.delete(key)
            return
        raise TransferError(
            f"Others change the tag {tag!r} all the time", remedy="Publish again later."
        )

    def _log(self, tag: str) -> list[str]:
        keys = [row["Key"] for row in self._bucket.list(f"{self._prefix}{tag}/")]
        return [key for key in keys if key.rpartition("/")[2].isdigit()]

    def _read(self, key: str) -> Digest:
        return Digest.parse(self._bucket.get(key).decode(errors="replace").strip())
