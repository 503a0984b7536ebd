"""One bucket, as far as a registry needs it: boto3 with settings that every server understands.

Credentials, region and endpoint come from boto3's own places (AWS_* variables, ~/.aws); the
endpoint of a server of your own is AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from registry.errors import (
    NotAllowedError,
    NotFoundError,
    QregError,
    TransferError,
    TransientError,
    UncertainError,
)
from registry.listing import MAX_MANIFEST
from registry.stores.s3.client import connect, import_boto3
from registry.stores.s3.endpoint import own_endpoint
from registry.stores.s3.writing import Writing, part_size
from registry.stores.uploading import require_unchanged
from registry.transport import Patience, patiently
from registry.transport.answers import require_few
from registry.transport.signs import note_answer, note_question

_WHOLE = 64 * 2**20  # bytes that go in one request; larger files go in parts
_PIECE = 2**20
_EMPTY_PAGES = 1000  # one after the other
_NO_TIME = 5 * 365 * 86400.0  # seconds; some servers tell no real time (moto: always 2010)
_SIGNED_FOR = 3600  # seconds that an address for reading is valid


class Conflict(TransferError):
    """A conditional write found that the object is there already."""


class Damaged(TransferError):
    """What arrived is not what was sent, says the server."""


class Bucket:
    """Objects below a bucket; errors are ours.

    Args:
        name: of the bucket.

    Raises:
        UsageError: the address of a server of your own is none.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._own_server = bool(own_endpoint())
        self.patience = Patience.from_environment()

    def get(self, key: str) -> bytes:
        """A small object."""

        def one() -> bytes:
            # boto3 tries requests again, and not the reading of their bodies.
            with self.errors(key):
                answer = self.client.get_object(Bucket=self.name, Key=key)
                content: bytes = answer["Body"].read(MAX_MANIFEST + 1)
            told = answer.get("ContentLength", len(content))
            if len(content) < min(told, MAX_MANIFEST):  # botocore tells of whole reads alone
                raise TransientError(f"s3://{self.name}/{key} ended early")
            if len(content) > MAX_MANIFEST:
                raise TransferError(
                    f"s3://{self.name}/{key} is larger than {MAX_MANIFEST // 2**20} MiB",
                    remedy="It is no manifest of qreg's; look who wrote it.",
                )
            return content

        return patiently(self.patience, one)

    def head(self, key: str) -> dict[str, Any] | None:
        """What is known of an object; None if there is none."""
        try:
            with self.errors(key):
                found: dict[str, Any] = self.client.head_object(Bucket=self.name, Key=key)
        except NotFoundError:
            return None
        return found

    def create(self, key: str, content: bytes) -> None:
        """Write a small object that is not there yet, atomically.

        Raises:
            Conflict: it is there already.
        """
        with self.errors(key):
            self.client.put_object(
                Bucket=self.name,
                Key=key,
                Body=content,
                IfNoneMatch="*",
                ContentType="application/json",
            )

    def list(self, prefix: str) -> Iterator[dict[str, Any]]:
        """All objects below a prefix, sorted by key."""
        yield from self._listed("Contents", Prefix=prefix)

    def folders(self, prefix: str) -> Iterator[str]:
        """The names between a prefix and the next slash."""
        for row in self._listed("CommonPrefixes", Prefix=prefix, Delimiter="/"):
            yield row["Prefix"][len(prefix) :].rstrip("/")

    def _listed(self, kind: str, **asked: str) -> Iterator[dict[str, Any]]:
        """Rows of a listing, page by page; one that does not end is an error."""
        what, count, empty = asked["Prefix"], 0, 0
        with self.errors(what):
            pages = self.client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.name, **asked):
                rows = page.get(kind, ())
                count, empty = count + len(rows), 0 if rows else empty + 1
                require_few(f"s3://{self.name}/{what}", count)
                if empty > _EMPTY_PAGES:
                    raise TransferError(
                        f"The listing of s3://{self.name}/{what} does not end",
                        remedy="Check AWS_ENDPOINT_URL_S3; no S3 server answers like this.",
                    )
                yield from rows

    def copy(self, source: str, key: str, sha256: str) -> None:
        """Copy an object inside the bucket, without moving its bytes here.

        Args:
            source: key of the object.
            key: of the copy.
            sha256: of the content; a copy in parts would lose the metadata of its origin.
        """
        origin = {"Bucket": self.name, "Key": source}
        told = {"Metadata": {"sha256": sha256}, "MetadataDirective": "REPLACE"}
        with self.errors(source):
            self.client.copy(origin, self.name, key, told, Config=self._transfer_config)

    def put_file(self, key: str, file: Path, size: int, sha256: str, told: Any) -> None:
        """Upload a file; the server is given the sha256 of each request's body to check.

        Args:
            key: of the object.
            file: is read once by each request and once to sign it.
            size: in bytes.
            sha256: of the whole, kept in the object's metadata.
            told: is called with the bytes of each request that has succeeded.

        Raises:
            IntegrityError: the file is not what was hashed before; there is no object then.
        """
        if size <= _WHOLE:
            content = file.read_bytes()
            require_unchanged(file, hashlib.sha256(content).hexdigest(), sha256)
            self.put(key, content, sha256)
            told(size)
            return
        writing = Writing(self, key, sha256)
        try:
            part, digest = part_size(size, _WHOLE), hashlib.sha256()
            with file.open("rb") as reader:
                while body := reader.read(part):
                    digest.update(body)
                    writing.add(body)
                    told(len(body))
            require_unchanged(file, digest.hexdigest(), sha256)
            writing.complete()
        except BaseException:
            writing.abort()
            raise

    def put(self, key: str, content: bytes, sha256: str) -> None:
        """Write a small object, with its sha256 in its metadata."""
        self.send(self.client.put_object, key, Body=content, Metadata={"sha256": sha256})

    def send(self, request: Callable[..., Any], key: str, **arguments: Any) -> Any:
        """Make a request with a body; what is damaged on its way is sent once more."""

        def one() -> Any:
            with self.errors(key):
                return request(Bucket=self.name, Key=key, **arguments)

        try:
            return one()
        except Damaged:
            return one()

    def abort_stale(self, prefix: str, older_than: float) -> int:
        """Abort uploads in parts that nobody has ended: their parts are paid for, and not listed.

        Args:
            prefix: of their keys.
            older_than: seconds since they began; younger ones may be under way.

        Returns:
            How many; 0 also where the server does not list them.
        """
        try:
            with self.errors(prefix):
                pages = self.client.get_paginator("list_multipart_uploads")
                found = [
                    row
                    for page in pages.paginate(Bucket=self.name, Prefix=prefix)
                    for row in page.get("Uploads", ())
                    if older_than < time.time() - row["Initiated"].timestamp() < _NO_TIME
                ]
        except QregError:
            return 0
        for row in found:
            self.abort({"Bucket": self.name, "Key": row["Key"], "UploadId": row["UploadId"]})
        return len(found)

    def delete(self, key: str) -> None:
        """Remove an object; a missing one is no error."""
        with self.errors(key):
            self.client.delete_object(Bucket=self.name, Key=key)

    def address(self, key: str) -> str:
        """A signed address to read an object with any client; it holds a secret."""
        with self.errors(key):
            url: str = self.client.generate_presigned_url(
                "get_object", Params={"Bucket": self.name, "Key": key}, ExpiresIn=_SIGNED_FOR
            )
        return url

    def abort(self, upload: dict[str, Any]) -> None:
        """Drop an upload in parts, if the server lets us."""
        try:
            self.client.abort_multipart_upload(**upload)
        except Exception:  # noqa: BLE001 - the failure that led here is the one to tell
            return

    @cached_property
    def client(self) -> Any:
        """boto3's client."""
        return connect(self.patience, own_server=self._own_server)

    @cached_property
    def _transfer_config(self) -> Any:
        from boto3.s3.transfer import TransferConfig

        # The CRT-based client would ignore the endpoint.
        return TransferConfig(
            preferred_transfer_client="classic",
            multipart_threshold=2**30,
            multipart_chunksize=2**28,
        )

    @contextmanager
    def errors(self, key: str) -> Iterator[None]:
        """What botocore raises inside of the block becomes one of our errors."""
        import_boto3()
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            ConnectionError,
            HTTPClientError,
            IncompleteReadError,
            NoCredentialsError,
            PartialCredentialsError,
        )

        what = f"s3://{self.name}/{key}"
        note_question()
        try:
            yield
            note_answer()
        except ClientError as error:
            known = _translated(what, error)
            if not isinstance(known, TransientError):
                note_answer()
            raise known from error
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise NotAllowedError(
                f"No credentials for s3://{self.name}",
                remedy="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile.",
            ) from error
        except (ConnectionError, HTTPClientError, IncompleteReadError) as error:
            raise TransientError(
                f"The connection for {what} failed: {type(error).__name__}",
                remedy="Check AWS_ENDPOINT_URL_S3 and the network, then try again.",
            ) from error
        except BotoCoreError as error:
            raise TransferError(
                f"{what}: {type(error).__name__}: {error}",
                remedy="Check AWS_PROFILE and the other settings of AWS's tools.",
            ) from error


def _translated(what: str, error: Any) -> Exception:
    """A ClientError of botocore as one of ours."""
    told = error.response.get("Error", {})
    code, message = str(told.get("Code", "")), str(told.get("Message", ""))[:200]
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    detail = f"{what}: {code or status} {message}".rstrip()
    if status == 412 or code in ("PreconditionFailed", "ConditionalRequestConflict"):
        return Conflict(f"{what} is there already")
    if code in ("BadDigest", "XAmzContentSHA256Mismatch"):
        return Damaged(f"Damaged on its way: {detail}", remedy="Check the network; publish again.")
    if code == "NoSuchBucket":
        return UncertainError(f"There is no bucket for {what}", remedy="Create the bucket first.")
    if status == 404 and code != "NoSuchKey" and error.operation_name != "HeadObject":
        # S3 names its reason; what does not is a proxy, or another server.
        return UncertainError(f"{what} was answered with 404, and not as S3 does")
    if status == 404 or code in ("NoSuchKey", "404", "NotFound"):
        return NotFoundError(f"There is no {what}")
    if status in (401, 403):
        return NotAllowedError(
            f"Not allowed: {detail}", remedy="Check the credentials and the bucket's policy."
        )
    if status in (408, 429, 500, 502, 503, 504) or code == "SlowDown":
        return TransientError(f"The server failed: {detail}", remedy="Try again later.")
    return TransferError(f"Refused: {detail}")
