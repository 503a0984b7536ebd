"""An object that is written part by part, and is there whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from registry.stores.s3.bucket import Bucket

_MOST_PARTS = 10_000  # Amazon S3's limit


def part_size(size: int, usual: int) -> int:
    """Bytes of the parts in which an object of `size` bytes can go: `usual`, or more."""
    part = usual
    while -(-size // part) > _MOST_PARTS:
        part *= 2
    return part


class Writing:
    """An upload in parts; whoever begins one completes or aborts it.

    Args:
        bucket: takes the object.
        key: of the object.
        sha256: of the whole, kept in the object's metadata.
    """

    def __init__(self, bucket: Bucket, key: str, sha256: str) -> None:
        self._bucket, self._key = bucket, key
        self._parts: list[dict[str, Any]] = []
        with bucket.errors(key):
            created = bucket.client.create_multipart_upload(
                Bucket=bucket.name, Key=key, Metadata={"sha256": sha256}
            )
        self._upload = {"Bucket": bucket.name, "Key": key, "UploadId": created["UploadId"]}

    def add(self, content: bytes) -> None:
        """Send the next part; all but the last are of the same size."""
        number = len(self._parts) + 1
        answer = self._bucket.send(
            self._bucket.client.upload_part,
            self._key,
            UploadId=self._upload["UploadId"],
            PartNumber=number,
            Body=content,
        )
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})

    def complete(self) -> None:
        """Make the object of the parts."""
        with self._bucket.errors(self._key):
            self._bucket.client.complete_multipart_upload(
                **self._upload, MultipartUpload={"Parts": self._parts}
            )

    def abort(self) -> None:
        """Drop the parts."""
        self._bucket.abort(self._upload)
