"""What a test needs to know of a running S3 server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class S3Server:
    """A server that listens on 127.0.0.1 until its context manager ends.

    Attributes:
        url: the endpoint, without a slash at the end. Buckets are addressed by path.
        access_key: whose requests are accepted.
        secret_key: what they are signed with (SigV4); made anew for each server.
        region: what they are signed for.
        kind: `swift` rejects wrong signatures and wrong digests, but answers 501 to a put with
            If-Match, and of several puts with If-None-Match at the same time may accept more than
            one. `moto` accepts exactly one and knows If-Match, but believes every signature, every
            digest and every presigned URL, expired ones too.
    """

    url: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str
    kind: Literal["swift", "moto"]

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which AWS's clients find this server, for S3 and nothing else."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ENDPOINT_URL_S3": self.url,
        }


def client_of(server: S3Server) -> Any:
    """boto3's client for a server."""
    return s3_client(server.environment)


def s3_client(environment: Mapping[str, str]) -> Any:
    """boto3's client for the server that variables of the environment name."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
        config=Config(s3={"addressing_style": "path"}),
    )
