"""boto3's client, with settings that every server understands."""

from __future__ import annotations

from typing import Any

from registry.errors import IncompatibleError
from registry.stores.s3.endpoint import unusable
from registry.stores.tokens import check_token
from registry.transport import Patience

_WAYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile"


def connect(patience: Patience, *, own_server: bool) -> Any:
    """A client with the user's credentials.

    Args:
        patience: with a server that fails.
        own_server: it is not Amazon's.

    Raises:
        NotAllowedError: a key that no server could take.
        UsageError: the address of a server of your own is none.
    """
    boto3, config = import_boto3()
    settings = config(
        retries={"mode": "standard", "max_attempts": patience.attempts},
        connect_timeout=10,
        read_timeout=max(60, patience.stall),
        max_pool_connections=32,
        signature_version="s3v4",
        # Not every server knows the checksums that boto3 adds by default; the signature's
        # own sha256 of each body is checked by all.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={
            "addressing_style": "path" if own_server else "auto",
            "payload_signing_enabled": True,
        },
    )
    try:
        # A session of its own: the default one keeps the first credentials that it saw.
        session = boto3.session.Session()
        known = session.get_credentials()
        for key in (known.access_key, known.secret_key) if known else ():
            check_token(key, _WAYS)
        return session.client("s3", config=settings)
    except ValueError as error:
        if type(error) is not ValueError:
            raise  # botocore's own, which `errors` knows
        raise unusable(error) from error


def import_boto3() -> Any:
    """boto3 and its Config; raises IncompatibleError where it is not installed."""
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise IncompatibleError(
            "Stores on S3 need boto3, which is not installed",
            remedy="pip install 'qreg[s3]' .",
        ) from error
    return boto3, Config
