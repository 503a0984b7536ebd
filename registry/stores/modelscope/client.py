"""The client of ModelScope's own library, and its errors in terms of ours.

The endpoint is MODELSCOPE_ENDPOINT; the token is where `modelscope login` puts it, or
MODELSCOPE_API_TOKEN.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from registry.errors import (
    IncompatibleError,
    NotAllowedError,
    NotFoundError,
    TransferError,
    TransientError,
)
from registry.stores.tokens import check_token
from registry.transport import Patience, Transport, patiently
from registry.transport.credentials import Credentials
from registry.urls import is_below

if TYPE_CHECKING:
    from modelscope_hub import HubApi

T = TypeVar("T")
SIGNING_IN = "set MODELSCOPE_API_TOKEN, or `modelscope login`"
PRIVATE, PUBLIC = 1, 5  # ModelScope's visibility
MODEL = "model"
ENDPOINT = "MODELSCOPE_ENDPOINT"  # the variable, for remedies
PUBLIC_DOMAINS = ("modelscope.cn", "modelscope.ai")
_RETRIES = "MODELSCOPE_API_MAX_RETRIES"  # of `modelscope_hub.constants`, 0.5


def connect() -> HubApi:
    """ModelScope's client with the user's endpoint and token."""
    try:
        with _without_its_retries():
            from modelscope_hub import HubApi
    except ImportError as error:
        raise IncompatibleError(
            "Stores on ModelScope need its library, which is not installed",
            remedy="pip install 'qreg[hub]' .",
        ) from error
    logging.getLogger("modelscope_hub").setLevel(logging.ERROR)  # errors are told by us
    api = HubApi()
    check_token(api.legacy.token or "", SIGNING_IN)
    _guard(api)
    return api


def _guard(api: HubApi) -> None:
    """Keep the token and the size of answers within bounds in the library's own requests, too.

    Listings that it walks by itself go over another session of its, which has a limit of time.
    """
    from registry.transport.guard import guard  # imports requests

    session: Any = api.legacy._session
    retries = session.get_adapter("https://").max_retries
    guard(session, credentials_of(api), max_retries=retries)


@contextmanager
def _without_its_retries() -> Iterator[None]:
    """Have the library try twice, unless its user says otherwise; `asking` tries again.

    Five tries of its own for each of ours would make a hub that is away cost minutes. It reads the
    variable when it is imported.
    """
    given = os.environ.get(_RETRIES)
    os.environ.setdefault(_RETRIES, "1")  # the least that it takes
    try:
        yield
    finally:
        if given is None:
            del os.environ[_RETRIES]


def headers(api: HubApi) -> Mapping[str, str]:
    """What requests of our own send, as the library's do."""
    token = api.legacy.token
    if not token:
        return {}
    return {"Authorization": f"Bearer {token}", "Cookie": f"m_session_id={token}"}


def credentials_of(api: HubApi) -> Credentials:
    """The token and where it may go.

    The public hub takes contents at a host of its own that wants the token, too (modelscope_hub
    0.5, `upload_blob`).
    """
    endpoint = api.legacy.endpoint
    domain = next((name for name in PUBLIC_DOMAINS if is_below(endpoint, name)), "")
    return Credentials.of(headers(api), endpoint, domain)


def transport_of(api: HubApi) -> Transport:
    """Requests of our own, with the user's token."""
    known = credentials_of(api)
    return Transport(headers(api), endpoint=ENDPOINT, origin=known.origin, domain=known.domain)


def asking(what: str, request: Callable[[], T]) -> T:
    """The result of a request that does no harm when it arrives twice, tried again if it fails."""

    def one() -> T:
        with hub_errors(what):
            return request()

    return patiently(Patience.from_environment(), one)


@contextmanager
def hub_errors(what: str) -> Iterator[None]:
    """Turn ModelScope's errors into ours; its texts hold whole answers, so only kinds are told."""
    import requests
    from modelscope_hub import errors

    try:
        yield
    except errors.NotExistError as error:
        raise NotFoundError(
            f"ModelScope has no {what}",
            remedy="Check the name and the revision; a private model needs a token.",
        ) from error
    except (errors.AuthenticationError, errors.PermissionDeniedError) as error:
        raise NotAllowedError(
            f"ModelScope does not let you access {what}",
            remedy="Check MODELSCOPE_API_TOKEN, or `modelscope login`.",
        ) from error
    except (
        errors.NetworkError,
        errors.ServerError,
        errors.RateLimitError,
        requests.ConnectionError,
        requests.Timeout,
        requests.exceptions.ChunkedEncodingError,
    ) as error:
        raise TransientError(
            f"ModelScope does not answer for {what}: {type(error).__name__}",
            remedy="Check the network and MODELSCOPE_ENDPOINT, then try again.",
        ) from error
    except errors.HubError as error:
        raise TransferError(f"ModelScope refuses {what}: {_message(error)}") from error
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        raise TransferError(
            f"ModelScope's answer for {what} is malformed: {type(error).__name__}",
            remedy="Check MODELSCOPE_ENDPOINT; the server may not be a ModelScope hub.",
        ) from error


def _message(error: Any) -> str:
    return str(getattr(error, "message", type(error).__name__))[:200]
