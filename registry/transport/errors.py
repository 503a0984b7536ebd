"""Failures of HTTP in terms of our errors: what may pass by itself, and what will not."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from typing import TYPE_CHECKING

from registry.errors import (
    NotAllowedError,
    NotFoundError,
    TransferError,
    TransientError,
    UncertainError,
)
from registry.transport.signs import note_answer

if TYPE_CHECKING:
    import requests


class ConflictError(TransferError):
    """What was to be made is there already, or has changed meanwhile (HTTP 409)."""


class RejectedError(TransferError):
    """What was sent is not what was announced, says the server (HTTP 400, 422)."""


PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


def raise_for_status(what: str, response: requests.Response) -> None:
    """Raise what a status of 400 or more means; the answer is closed then."""
    status = response.status_code
    if status < 400:
        return
    if status not in PASSING:
        note_answer()
    told = response.headers.get("X-Error-Message", "")[:200]
    detail = f"{what}: HTTP status {status}{f', {told}' if told else ''}"
    response.close()
    if status in PASSING:
        raise TransientError(
            f"Failed to transfer {detail}",
            remedy="The server is overloaded or down; try again later.",
            retry_after=_seconds(response.headers.get("Retry-After")),
        )
    if status in (401, 403):
        raise NotAllowedError(
            f"Not allowed to access {detail}", remedy="Check the token and its permissions."
        )
    if status in (404, 410):
        # Hubs and S3 answer in JSON and XML; a page is a proxy's, or another server's.
        page = response.headers.get("Content-Type", "").startswith("text/")
        kind = UncertainError if page else NotFoundError
        raise kind(f"There is no {detail}", remedy="Check the name and the revision.")
    if status == 409:
        raise ConflictError(f"There is already {detail}")
    if status in (400, 422):
        raise RejectedError(f"Failed to transfer {detail}")
    raise TransferError(f"Failed to transfer {detail}")


def _seconds(value: str | None) -> float | None:
    """Retry-After in seconds; the other form, a date, is left to the own pauses."""
    try:
        seconds = float(value) if value else None
    except ValueError:
        return None
    return seconds if seconds is not None and isfinite(seconds) else None


@contextmanager
def network_errors(what: str, endpoint: str = "the endpoint") -> Iterator[None]:
    """Turn errors of requests and urllib3 into ours, without URLs, which may hold signatures.

    Args:
        what: is asked for, for messages.
        endpoint: what sets the server's address, for remedies.
    """
    import http.client

    import requests
    import urllib3.exceptions

    try:
        yield
    except requests.exceptions.SSLError as error:
        raise TransferError(
            f"No secure connection for {what}: {_short(error)}",
            remedy="Check the certificates: REQUESTS_CA_BUNDLE names your own.",
        ) from error
    except (
        requests.exceptions.InvalidURL,
        requests.exceptions.MissingSchema,
        requests.exceptions.InvalidSchema,
    ) as error:
        raise TransferError(
            f"No usable address for {what}",
            remedy=f"Check {endpoint}: an address begins with http:// or https:// .",
        ) from error
    except requests.exceptions.TooManyRedirects as error:
        raise TransferError(
            f"The server of {what} redirects again and again",
            remedy=f"Check {endpoint}, and any proxy.",
        ) from error
    except (
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        http.client.HTTPException,
        TimeoutError,
        ConnectionError,
    ) as error:
        if _is_unknown_host(error):
            raise TransferError(
                f"The host for {what} cannot be found",
                remedy=f"Check the network and {endpoint}.",
            ) from error
        raise TransientError(
            f"The connection for {what} failed: {_short(error)}",
            remedy=f"Check the network and {endpoint}, then try again.",
        ) from error
    except ValueError as error:  # what requests and urllib.parse make of headers that are none
        raise TransferError(
            f"The server of {what} answered with something that is no HTTP",
            remedy=f"Check {endpoint}, and any proxy.",
        ) from error


def _is_unknown_host(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, socket.gaierror):
            return True
        error = error.__cause__ or error.__context__
    return False


def _short(error: BaseException) -> str:
    """The innermost cause by its kind; texts of urllib3 hold whole URLs."""
    cause: BaseException = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__ or cause
    return f"{type(error).__name__} ({type(cause).__name__})"
