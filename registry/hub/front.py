"""What stands before the hub: the address that clients know it by, proxies, pages of other sites.

**Proxies.** A request tells by X-Forwarded-Proto and -Host what its client asked for, and anyone
can write these headers. They count only if they come from a proxy that was named. (The hub asks
nothing about a client's own address, so X-Forwarded-For is read from nobody.)

**Browsers.** A page of any site can make its reader's browser send requests to a hub that the site
itself does not reach. Two things are refused, and only to browsers:

- A change with an Origin that is not the hub's own address (cross-site requests).
- A request whose Host is a name that the hub was not given (DNS rebinding: the site's own name is
  made to point to the hub, and the browser takes both for one). An address in digits cannot be
  rebound, and neither can localhost nor this machine's name.

Other clients send whatever Host led them here: the name of a Kubernetes service, for example.
Nothing is gained by lying about it, as no one's browser, network or rights are borrowed. A browser
is known by Origin or Sec-Fetch-*, which pages cannot take away, or by Accept-Language or the name
it gives itself, as over plain HTTP browsers send no Sec-Fetch-* and, for GET, no Origin.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from registry.errors import UsageError
from registry.hub.errors import Refusal, answer

Network = IPv4Network | IPv6Network
_BASE = "qreg.base"  # of a request's scope: the hub's own address as its client sees it
_SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Front:
    """What a hub is told of where it stands.

    Attributes:
        public_url: by which clients reach it, also through proxies; empty: as each request says.
        proxies: networks whose X-Forwarded-… headers are believed.
        names: hosts by which browsers may ask for it, besides addresses and localhost.
    """

    public_url: str = ""
    proxies: tuple[Network, ...] = ()
    names: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(cls, host: str = "", public_url: str = "", proxies: Iterable[str] = ()) -> Front:
        """Take what the command line says.

        Args:
            host: that is listened on.
            public_url: `https://hub.example`, also with a path.
            proxies: addresses or networks, `10.0.0.0/8`.

        Raises:
            UsageError: one of them is none.
        """
        url = urlsplit(public_url)
        if public_url and (url.scheme not in ("http", "https") or not url.hostname or url.query):
            raise UsageError(
                f"{public_url!r} is not an address of a hub",
                remedy="Write it as clients do: --public-url https://hub.example .",
            )
        own = socket.gethostname().lower()
        names = {host.lower(), own, own.partition(".")[0], url.hostname or ""}
        return cls(
            public_url.rstrip("/"), tuple(_network(text) for text in proxies), frozenset(names)
        )

    def is_proxy(self, address: str) -> bool:
        """Whether a peer's word about its client counts."""
        try:
            found = ip_address(address)
        except ValueError:
            return False
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in network for network in self.proxies)

    def knows(self, host: str) -> bool:
        """Whether a browser may ask for the hub by a host, given without its port."""
        host = host.lower().rstrip(".")
        if host in self.names or host == "localhost" or host.endswith(".localhost"):
            return True
        try:
            ip_address(host.strip("[]"))
        except ValueError:
            return False
        return True


class AtTheDoor:
    """An ASGI application before the hub's own: it lets requests in, or refuses them.

    Args:
        app: the hub's.
        front: where it stands.
    """

    def __init__(self, app: ASGIApp, front: Front) -> None:
        self._app, self._front = app, front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            scope = self._looked_at(scope)
        except Refusal as refusal:
            await answer(scope["path"], refusal)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _looked_at(self, scope: Scope) -> Scope:
        headers = Headers(scope=scope)
        host, scheme = headers.get("Host", ""), scope["scheme"]
        if not scope["query_string"].isascii() or not host.isascii():
            raise Refusal(400, "The request's address must be in ASCII, with other bytes as %XX")
        peer = (scope.get("client") or ("",))[0]
        if self._front.is_proxy(peer):
            # Of several values the last is that of the nearest proxy.
            told = headers.get("X-Forwarded-Proto", "").rpartition(",")[2].strip().lower()
            scheme = told if told in ("http", "https") else scheme
            host = headers.get("X-Forwarded-Host", "").rpartition(",")[2].strip() or host
        base = self._front.public_url or f"{scheme}://{host}"
        if not host or not _netloc(host):
            base = self._front.public_url or str(Request(scope).base_url).rstrip("/")
        self._check_browser(scope, headers, host, base)
        return {**scope, "scheme": scheme, _BASE: base}

    def _check_browser(
        self, scope: Mapping[str, Any], headers: Headers, host: str, base: str
    ) -> None:
        origin = headers.get("Origin")
        if scope["method"] not in _SAFE:
            foreign = origin is not None and origin.lower() != _origin(base)
            if foreign or headers.get("Sec-Fetch-Site") == "cross-site":
                raise Refusal(
                    403,
                    f"The page {(origin or 'of another site')[:200]} may not change anything on "
                    f"this hub, which is {base}: serve it with --public-url if that is not so",
                )
        if _is_browser(headers) and not self._front.knows(_netloc(host)):
            raise Refusal(
                403,
                f"This hub does not know itself as {host[:200]!r}: serve it with --public-url "
                "to let browsers use that name",
            )


def base_url(request: Request) -> str:
    """The hub's own address as the client sees it."""
    return str(request.scope.get(_BASE) or str(request.base_url).rstrip("/"))


def repository_name(request: Request) -> str:
    """ORG/NAME of a route's path."""
    return f"{request.path_params['org']}/{request.path_params['name']}"


def _is_browser(headers: Headers) -> bool:
    return (
        headers.get("User-Agent", "").startswith("Mozilla/")
        or any(name in headers for name in ("Origin", "Accept-Language"))
        or any(name.startswith("sec-fetch-") for name in headers)
    )


def _netloc(host: str) -> str:
    """The host of a Host header, without its port; empty for what is none."""
    try:
        split = urlsplit(f"//{host}")
        split.port  # noqa: B018 - raises for what is no port
    except ValueError:
        return ""
    return "" if split.path or split.query or "@" in host else split.hostname or ""


def _origin(url: str) -> str:
    split = urlsplit(url)
    return f"{split.scheme}://{split.netloc}".lower()


def _network(text: str) -> Network:
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is neither an address nor a network",
            remedy="Name a proxy as --trusted-proxy 10.0.0.7 or 10.0.0.0/8.",
        ) from error
