"""What the tests of the S3 store take for granted about the servers they run against."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

from tests.servers import S3Server, moto_server, swift_server

BUCKET = "models"
PART = 5 * 2**20  # bytes; the smallest that S3 takes for all but the last
CONTENT = bytes(range(256)) * 4


@pytest.fixture(scope="module")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    yield from _with_bucket(swift_server(tmp_path_factory.mktemp("swift")))


@pytest.fixture(scope="module")
def moto() -> Iterator[S3Server]:
    yield from _with_bucket(moto_server())


@pytest.fixture(params=["swift", "moto"])
def s3(request: pytest.FixtureRequest) -> Any:
    return client(request.getfixturevalue(request.param))


def _with_bucket(starting: AbstractContextManager[S3Server]) -> Iterator[S3Server]:
    with starting as server:
        client(server).create_bucket(Bucket=BUCKET)
        yield server


def client(server: S3Server) -> Any:
    """A boto3 client that neither retries nor reads the user's settings."""
    return boto3.client(
        "s3",
        endpoint_url=server.url,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        region_name=server.region,
        # Without the version, presigned URLs are made the old way, which knows no region.
        config=Config(signature_version="s3v4", retries={"total_max_attempts": 1}),
    )


def refusal(act: Callable[[], object]) -> tuple[int, str]:
    """The status and code with which a server refuses."""
    with pytest.raises(ClientError) as caught:
        act()
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def test_an_object_is_read_whole_and_in_ranges(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="read/a b+é.bin", Body=CONTENT, Metadata={"scheme": "w8a8"})
    got = s3.get_object(Bucket=BUCKET, Key="read/a b+é.bin")
    assert got["Body"].read() == CONTENT
    assert got["Metadata"] == {"scheme": "w8a8"}
    ranged = s3.get_object(Bucket=BUCKET, Key="read/a b+é.bin", Range="bytes=10-19")
    assert ranged["Body"].read() == CONTENT[10:20]
    assert ranged["ContentRange"] == f"bytes 10-19/{len(CONTENT)}"
    missing = refusal(lambda: s3.get_object(Bucket=BUCKET, Key="read/missing"))
    assert missing == (404, "NoSuchKey")


def test_listings_have_folders_and_pages(s3: Any) -> None:
    for key in ("list/a", "list/b/1", "list/b/2", "list/c/1", "list/d"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"")
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=BUCKET, Prefix="list/", Delimiter="/", PaginationConfig={"PageSize": 1}
    )
    found = list(pages)
    assert len(found) >= 4
    assert [row["Key"] for page in found for row in page.get("Contents", ())] == [
        "list/a",
        "list/d",
    ]
    assert [row["Prefix"] for page in found for row in page.get("CommonPrefixes", ())] == [
        "list/b/",
        "list/c/",
    ]


def test_parts_are_put_together_and_copied_by_the_server(s3: Any) -> None:
    parts = [bytes([number]) * PART for number in (1, 2)] + [b"end"]
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="parts/whole")["UploadId"]
    target = {"Bucket": BUCKET, "Key": "parts/whole", "UploadId": upload}
    done = [
        {"PartNumber": n, "ETag": s3.upload_part(**target, PartNumber=n, Body=part)["ETag"]}
        for n, part in enumerate(parts, start=1)
    ]
    etag = s3.complete_multipart_upload(**target, MultipartUpload={"Parts": done})["ETag"]
    assert etag.endswith('-3"')

    source = {"Bucket": BUCKET, "Key": "parts/whole"}
    s3.copy_object(Bucket=BUCKET, Key="parts/copy", CopySource=source)
    for key, at in (("parts/whole", PART - 1), ("parts/copy", 2 * PART - 1)):
        got = s3.get_object(Bucket=BUCKET, Key=key, Range=f"bytes={at}-{at + 1}")
        assert got["Body"].read() == b"".join(parts)[at : at + 2]
        assert s3.head_object(Bucket=BUCKET, Key=key)["ContentLength"] == 2 * PART + 3


def test_what_exists_is_not_replaced(s3: Any) -> None:
    def create(content: bytes) -> object:
        return s3.put_object(Bucket=BUCKET, Key="create/once", Body=content, IfNoneMatch="*")

    create(b"first")
    assert refusal(lambda: create(b"second")) == (412, "PreconditionFailed")
    assert s3.get_object(Bucket=BUCKET, Key="create/once")["Body"].read() == b"first"


def test_a_presigned_url_needs_no_credentials(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="presigned", Body=CONTENT)
    url = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "presigned"})
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert answer.read() == CONTENT


def test_moto_creates_once_and_replaces_what_was_read(moto: S3Server) -> None:
    s3 = client(moto)
    together, created = Barrier(4), []

    def create(number: int) -> None:
        together.wait()
        try:
            s3.put_object(Bucket=BUCKET, Key="race", Body=b"%d" % number, IfNoneMatch="*")
        except ClientError:
            return  # another was first
        created.append(number)

    threads = [Thread(target=create, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(created) == 1

    read = s3.head_object(Bucket=BUCKET, Key="race")["ETag"]
    s3.put_object(Bucket=BUCKET, Key="race", Body=b"next", IfMatch=read)
    stale = refusal(lambda: s3.put_object(Bucket=BUCKET, Key="race", Body=b"late", IfMatch=read))
    assert stale == (412, "PreconditionFailed")


def test_swift_rejects_strangers(swift: S3Server) -> None:
    for stranger in (
        dataclasses.replace(swift, access_key="stranger"),
        dataclasses.replace(swift, secret_key="guessed"),
    ):
        read = partial(client(stranger).list_objects_v2, Bucket=BUCKET)
        assert refusal(read) == (403, "SignatureDoesNotMatch")


def test_swift_rejects_a_wrong_signed_sha256(swift: S3Server) -> None:
    status, answer = _put_signed(swift, "sha256", CONTENT, hashlib.sha256(b"else").hexdigest())
    assert (status, b"XAmzContentSHA256Mismatch" in answer) == (400, True)
    assert refusal(lambda: client(swift).head_object(Bucket=BUCKET, Key="sha256"))[0] == 404
    assert _put_signed(swift, "sha256", CONTENT, hashlib.sha256(CONTENT).hexdigest())[0] == 200


@pytest.mark.parametrize(
    ("header", "algorithm"), [("ContentMD5", hashlib.md5), ("ChecksumSHA256", hashlib.sha256)]
)
def test_swift_rejects_a_wrong_digest(
    swift: S3Server, header: str, algorithm: Callable[[bytes], Any]
) -> None:
    s3 = client(swift)
    wrong, right = (
        {header: base64.b64encode(algorithm(content).digest()).decode()}
        for content in (b"else", CONTENT)
    )
    refused = refusal(lambda: s3.put_object(Bucket=BUCKET, Key=header, Body=CONTENT, **wrong))
    assert refused == (400, "BadDigest")
    assert refusal(lambda: s3.head_object(Bucket=BUCKET, Key=header))[0] == 404
    s3.put_object(Bucket=BUCKET, Key=header, Body=CONTENT, **right)


def test_servers_tell_clients_where_they_are(
    swift: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in swift.environment.items():
        monkeypatch.setenv(name, value)
    # A session of its own: boto3 keeps what its default one found in the environment.
    buckets = boto3.session.Session().client("s3").list_buckets()["Buckets"]
    assert [bucket["Name"] for bucket in buckets] == [BUCKET]


def _put_signed(server: S3Server, key: str, body: bytes, sha256: str) -> tuple[int, bytes]:
    """Put an object with a valid signature over a sha256 that boto3 would not let us choose."""

    def payload(_: AWSRequest) -> str:
        return sha256

    credentials = Credentials(server.access_key, server.secret_key)
    signer = S3SigV4Auth(credentials, "s3", server.region)
    signer.payload = payload
    request = AWSRequest("PUT", f"{server.url}/{BUCKET}/{key}", data=body)
    signer.add_auth(request)
    answer = URLLib3Session(timeout=30).send(request.prepare())
    return answer.status_code, answer.content
