"""HTTP for large bodies, on requests: its proxies, certificates and redirects, our errors.

Credentials go to the endpoint alone (`guard`). Bodies are read without copies into the caller's
buffer, and sent by the kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from registry.errors import QregError, TransferError, TransientError
from registry.transport.credentials import Credentials
from registry.transport.errors import RejectedError, network_errors, raise_for_status
from registry.transport.retry import Patience, patiently
from registry.transport.signs import note_answer, note_question
from registry.transport.stream import Stream
from registry.urls import same_origin

if TYPE_CHECKING:
    import requests

_CONNECT = 10.0  # seconds
_NUMBER = re.compile(r"[0-9]{1,19}")
_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)\Z")


class Transport:
    """A pool of connections to one service; used by several threads at once.

    Args:
        headers: sent with each request to the service.
        patience: with what fails.
        endpoint: what sets the service's address, for remedies.
        origin: the service's URL: credentials of `headers` go to its scheme, host and port only,
            whatever an answer names. Without it they are not sent at all.
        domain: of a public service whose other servers get them, too, over https.
    """

    def __init__(
        self,
        headers: Mapping[str, str] | None = None,
        patience: Patience | None = None,
        *,
        endpoint: str = "the endpoint",
        origin: str = "",
        domain: str = "",
    ) -> None:
        self.headers = dict(headers or {})
        self.endpoint = endpoint
        self.credentials = Credentials.of(self.headers, origin, domain)
        self.patience = patience or Patience.from_environment()
        self._pool: requests.Session | None = None

    @contextmanager
    def stream(
        self, what: str, url: str, offset: int, length: int, size: int | None = None
    ) -> Iterator[Stream]:
        """Bytes `offset` to `offset + length` of what `url` names, in one try.

        Args:
            what: is read, for messages; a URL may hold a signature.
            url: of a server that knows ranges.
            offset: of the first byte.
            length: in bytes, at least 1.
            size: of the whole file, where it is known: another one is an error.

        Raises:
            TransientError: may go well when tried again.
            NotFoundError, NotAllowedError, TransferError: will not.
        """
        headers = {"Range": f"bytes={offset}-{offset + length - 1}", "Accept-Encoding": "identity"}
        with network_errors(what, self.endpoint):
            response = self._session.get(
                url,
                headers={**self.headers, **headers},
                stream=True,
                timeout=(_CONNECT, self.patience.stall),
            )
        with response:
            raise_for_status(what, response)
            _check_range(what, response, offset, length, size)
            yield _Body(what, response, length)

    def request(
        self,
        method: str,
        what: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        readable: frozenset[int] = frozenset(),
        **arguments: Any,
    ) -> requests.Response:
        """A small request and its whole answer, tried again where that helps.

        The answer is read to a limit (`answers.MAX_ANSWER`); of one that is an error, only the
        headers are of use.

        Args:
            method: of HTTP; it must be one that does no harm when it arrives twice.
            what: is asked for, for messages.
            url: of the service.
            headers: besides those of the service, or in their place; where an answer of the
                service names them for another server, they are sent there as they are.
            readable: statuses of errors whose answers the caller reads itself.
            arguments: of requests, such as `json`.
        """

        def one() -> requests.Response:
            note_question()
            with network_errors(what, self.endpoint):
                response = self._session.request(
                    method,
                    url,
                    headers={**self.headers, **(headers or {})},
                    timeout=(_CONNECT, self.patience.stall),
                    **arguments,
                )
            if response.status_code not in readable:
                raise_for_status(what, response)
            note_answer()
            return response

        return patiently(self.patience, one)

    def put_file(
        self,
        what: str,
        url: str,
        file: Path,
        offset: int,
        length: int,
        *,
        headers: Mapping[str, str] | None = None,
        told: Any = None,
    ) -> Mapping[str, str]:
        """Send a part of a file with PUT, tried again where that helps.

        What the server rejects may have been damaged on its way: it is sent once more.

        Args:
            what: is sent, for messages.
            url: takes it; no headers but those in `headers` go there.
            file: holds it.
            offset: of its first byte.
            length: in bytes.
            headers: of the request.
            told: is called with the bytes of each piece that went out, and with a negative number
                when a try begins anew.

        Returns:
            The answer's headers.
        """

        from registry.transport.sending import Part

        def one() -> Mapping[str, str]:
            with file.open("rb") as reader:
                body = Part(reader, offset, length, told)
                try:
                    with network_errors(what, self.endpoint):
                        response = self._session.put(
                            url,
                            data=body,
                            headers={**(headers or {}), "Content-Length": str(length)},
                            timeout=(self.patience.stall, self.patience.answer),
                        )
                    raise_for_status(what, response)
                except QregError:
                    body.undo()
                    raise
            return response.headers

        try:
            return patiently(self.patience, one)
        except RejectedError:
            return patiently(self.patience, one)

    @property
    def _session(self) -> requests.Session:
        if self._pool is None:
            self._pool = _new_session(self.credentials)
        return self._pool


def _new_session(credentials: Credentials) -> requests.Session:
    from http.cookiejar import DefaultCookiePolicy

    import requests

    from registry.transport.guard import guard

    class Session(requests.Session):
        """Looks the environment's proxies and certificates up once a host: it takes as long as a
        request."""

        def __init__(self) -> None:
            super().__init__()
            self.known: dict[str, Any] = {}

        def merge_environment_settings(self, url: Any, *arguments: Any) -> Any:
            place = urlsplit(str(url))
            key = f"{place.scheme}://{place.netloc} {arguments}"
            if key not in self.known:
                self.known[key] = super().merge_environment_settings(url, *arguments)
            return self.known[key]

        def rebuild_auth(self, prepared_request: Any, response: Any) -> None:
            """Nothing goes along to another server, and nothing of a .netrc is added."""
            if not same_origin(str(response.request.url), str(prepared_request.url)):
                prepared_request.headers.pop("Authorization", None)

    session = Session()
    # Else a .netrc would replace the credentials that the caller gives.
    session.auth = lambda request: request
    # A cookie would go to all ports of its host.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    guard(session, credentials, pool_connections=16, pool_maxsize=64, max_retries=0)
    return session


class _Body:
    """The body of an answer; an end that comes early is an error."""

    def __init__(self, what: str, response: requests.Response, length: int) -> None:
        from http.client import HTTPException

        self._failures = (OSError, HTTPException)
        self._what, self._raw = what, response.raw
        # urllib3 would read into bytes of its own and copy them.
        self._source = getattr(response.raw, "_fp", response.raw)
        expected = response.headers.get("Content-Length", "")
        self._exact = _NUMBER.fullmatch(expected) is not None
        self._left = min(length, int(expected)) if self._exact else length

    def readinto(self, buffer: memoryview, /) -> int:
        if not self._left:
            return 0
        try:
            count: int = self._source.readinto(buffer[: self._left])
        except self._failures as error:  # of TLS, or a chunk that is none
            raise TransientError(
                f"The connection for {self._what} failed: {type(error).__name__}",
                remedy="Check the network and the endpoint, then try again.",
            ) from error
        if not count and self._exact:
            raise TransientError(f"{self._what} ended {self._left} bytes early")
        self._left -= count
        if not self._left and self._exact:
            self._raw.release_conn()  # for the next request
        return count


def _check_range(
    what: str, response: requests.Response, offset: int, length: int, size: int | None
) -> None:
    if response.status_code == 206:
        given = response.headers.get("Content-Range", "")
        match = _RANGE.match(given)
        sound = match is not None and int(match.group(1)) == offset
        if match and sound and size is not None and match.group(3) != "*":
            sound = int(match.group(3)) == size
        if match and sound:
            sound = int(match.group(2)) < offset + length
        if not sound:
            raise TransferError(
                f"Bytes {offset} to {offset + length} of {what} were answered with {given!r}",
                remedy="The file was replaced, or a proxy changes requests; try without it.",
            )
    elif offset:
        raise TransferError(
            f"The server of {what} does not know ranges: it answered bytes {offset} with "
            f"status {response.status_code}",
            remedy="A proxy may change requests; try without it.",
        )
