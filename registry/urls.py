"""What URLs give away, and to whom: whose server one names, and the credentials that it holds."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}
# SCHEME://USER:PASSWORD@ ; up to the last '@' before the path, as a password may hold one.
_CREDENTIALS = re.compile(r"(?<![A-Za-z0-9+.-])([A-Za-z][A-Za-z0-9+.-]*://)[^/?#\s]*@")


def without_credentials(text: str) -> str:
    """A text with the users and passwords of its URLs left out.

    What follows `://` up to an `@` is taken for credentials; a reference's revision comes after a
    slash, and stays.
    """
    return _CREDENTIALS.sub(r"\1", text) if "@" in text else text


def has_credentials(url: str) -> bool:
    """Whether a URL holds a user or a password."""
    return without_credentials(url) != url


def same_origin(url: str, other: str) -> bool:
    """Whether two URLs name the same server: scheme, host and port. What is no URL is nobody's."""
    first = _origin(url)
    return first is not None and first == _origin(other)


def is_below(url: str, domain: str) -> bool:
    """Whether a URL names a server of a domain, over https and at its usual port."""
    found = _origin(url)
    if found is None or found[0] != "https" or found[2] != _PORTS["https"]:
        return False
    return found[1] == domain or found[1].endswith(f".{domain}")


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine."""
    host = (_origin(url) or ("", "", 0))[1]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _origin(url: str) -> tuple[str, str, int] | None:
    try:
        place = urlsplit(url)
        port = place.port
    except ValueError:
        return None
    scheme, host = place.scheme.lower(), (place.hostname or "").lower().rstrip(".")
    port = _PORTS.get(scheme) if port is None else port
    return (scheme, host, port) if host and port is not None else None
