"""Tags on S3: a `Log` each.

…/NAME/.tags/TAG/00000001     the digest that the tag was given first
…/NAME/.tags/TAG/00000002     … then; the last one counts
"""

from __future__ import annotations

from registry.artifact import Digest
from registry.errors import IntegrityError, TransferError, UsageError
from registry.names import is_tag
from registry.stores.s3.bucket import Bucket, Conflict
from registry.stores.s3.log import Log

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
            if number.isdecimal() and is_tag(tag):
                last[tag] = row["Key"]
        found = {tag: _digest(self._bucket.get(key)) for tag, key in last.items()}
        return {tag: digest for tag, digest in found.items() if digest is not None}

    def get(self, tag: str) -> Digest | None:
        """What one tag points to; raises IntegrityError if that cannot be read."""
        log = self._log(tag)
        numbers = log.numbers()
        digest = _digest(log.read(numbers[-1])) if numbers else None
        if numbers and digest is None:
            raise IntegrityError(
                f"{log.key(numbers[-1])}, the tag {tag!r}, is damaged",
                remedy=f"Publish with --tag {tag} again, or use another tag or a digest.",
            )
        return digest

    def set(self, tag: str, digest: Digest) -> None:
        """Let a tag point to a digest."""
        log = self._log(tag)
        for _ in range(_TRIES):
            numbers = log.numbers()
            if numbers and _digest(log.read(numbers[-1])) == digest:
                return
            try:
                log.create(numbers[-1] + 1 if numbers else 1, f"{digest}\n".encode())
            except Conflict:
                continue  # somebody else was faster; ours comes after it
            log.prune(numbers)
            return
        raise TransferError(
            f"Others change the tag {tag!r} all the time", remedy="Publish again later."
        )

    def remove(self, tag: str) -> None:
        """Remove a tag; one that is not there is no error."""
        log = self._log(tag)
        for number in log.numbers():  # the last one last, or an older one would count
            log.drop(number)

    def _log(self, tag: str) -> Log:
        return Log(self._bucket, f"{self._prefix}{tag}/")


def _digest(content: bytes) -> Digest | None:
    """What an entry says; None if it is damaged."""
    try:
        return Digest.parse(content.decode(errors="replace").strip())
    except UsageError:
        return None
