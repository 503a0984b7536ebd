"""What leaves this machine and what comes in, looked over at the one place that all of it passes.

Credentials go to the server that they are for, and to no other that an answer names. Answers that
are read whole are read to a limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from registry.errors import TransferError
from registry.transport.answers import read_answer, read_beginning
from registry.transport.credentials import Credentials
from registry.transport.sending import SendingPools
from registry.urls import is_loopback

if TYPE_CHECKING:
    import requests

MAX_REDIRECTS = 5
_CARRIERS = ("Authorization", "Cookie")


class GuardedAdapter(SendingPools):
    """Sends requests of one service, and those to places that its answers name.

    Args:
        credentials: of the service.
        named: of HTTPAdapter.
    """

    def __init__(self, credentials: Credentials, **named: Any) -> None:
        self.credentials = credentials
        super().__init__(**named)

    def send(
        self, request: requests.PreparedRequest, stream: bool = False, *more: Any, **named: Any
    ) -> requests.Response:
        """Send without what is not for that server, and read the answer to a limit."""
        url = request.url or ""
        if not self.credentials.may_go_to(url):
            for name in _CARRIERS:
                if self.credentials.are_in(request.headers.get(name, "")):
                    del request.headers[name]
        if not stream:
            request.headers["Accept-Encoding"] = "gzip"
        response = super().send(request, True, *more, **named)
        if response.is_redirect:
            carried = any(name in request.headers for name in _CARRIERS)
            require_safe_redirect(url, response.headers["Location"], credentials=carried)
        if response.is_redirect or (not stream and response.status_code >= 400):
            _keep(response, read_beginning(response))
        elif not stream:
            _keep(response, read_answer(response))
        return response


def require_safe_redirect(url: str, target: str, *, credentials: bool) -> None:
    """Refuse a redirect to where others could read along.

    Args:
        url: that was asked.
        target: that the answer names.
        credentials: whether the request carried any.

    Raises:
        TransferError: it leads from https to http, and the request carried credentials or the
            address is not this machine's.
    """
    found = urljoin(url, target)
    down = url.lower().startswith("https:") and not found.lower().startswith("https:")
    if down and (credentials or not is_loopback(found)):
        raise TransferError(
            "The server redirects from https to an address without encryption",
            remedy="Ask whoever runs the server to mend this; nothing was sent there.",
        )


def guard(session: requests.Session, credentials: Credentials, **named: Any) -> None:
    """Let a session's requests be looked over.

    Args:
        session: also one of another library's.
        credentials: of its service.
        named: of HTTPAdapter.
    """
    session.max_redirects = MAX_REDIRECTS
    for scheme in ("http://", "https://"):
        session.mount(scheme, GuardedAdapter(credentials, **named))


def _keep(response: requests.Response, content: bytes) -> None:
    """Let a response hold a content that was read already."""
    known: Any = response
    known._content, known._content_consumed = content, True
