"""The address of an S3 server of the user's own, checked before anything is done with it.

boto3 would refuse it at the first request, when a publication has been hashed already, with an
error that names no variable.
"""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from registry.errors import UsageError

_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")  # the first one counts
# What botocore 1.44 takes (`utils.is_valid_endpoint_url`): no '_', though Docker has such names.
_HOST = re.compile(r"(?!-)[a-z\d-]{1,63}(?<!-)(\.(?!-)[a-z\d-]{1,63}(?<!-))*\.?\Z|[a-f\d:.]+\Z")


def own_endpoint() -> str:
    """The address that a variable sets; empty if none does.

    Raises:
        UsageError: it is no address.
    """
    name = next((name for name in _VARIABLES if os.environ.get(name)), "")
    url = os.environ.get(name, "") if name else ""
    if url and not _is_address(url):
        raise UsageError(
            f"{name} is {url!r}, which is not the address of a server",
            remedy=f"Set {name} to http://HOST:PORT or https://HOST, or unset it.",
        )
    return url


def unusable(error: ValueError) -> UsageError:
    """What boto3 does not take as an address, where it has that from a file."""
    return UsageError(
        f"boto3 cannot be set up for S3: {error}",
        remedy="Check endpoint_url in ~/.aws/config, and the variables AWS_ENDPOINT_URL_S3 and "
        "AWS_ENDPOINT_URL.",
    )


def _is_address(url: str) -> bool:
    try:
        place = urlsplit(url)
        port = place.port
    except ValueError:  # a port or an IPv6 address that is none
        return False
    sound = place.scheme in ("http", "https") and port != 0 and url.isprintable()
    return sound and bool(_HOST.match(place.hostname or ""))
