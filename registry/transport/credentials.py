"""Which server credentials are for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from registry.urls import is_below, same_origin


@dataclass(frozen=True)
class Credentials:
    """Secrets, and the server that they are for.

    Attributes:
        secrets: tokens and cookies; a header that holds one of them is ours.
        origin: a URL of that server; without one they are sent nowhere.
        domain: whose servers get them, too, over https; empty if there is none.
    """

    secrets: tuple[str, ...] = ()
    origin: str = ""
    domain: str = ""

    @classmethod
    def of(cls, headers: Mapping[str, str], origin: str, domain: str = "") -> Credentials:
        """Those of a service's headers."""
        found = [v for k, v in headers.items() if k.lower() in ("authorization", "cookie")]
        secrets = {value.removeprefix("Bearer ").strip() for value in found}
        return cls(tuple(sorted(secrets - {""})), origin, domain)

    def may_go_to(self, url: str) -> bool:
        """Whether a request to a URL may carry them."""
        if same_origin(url, self.origin):
            return True
        return (
            bool(self.domain) and is_below(self.origin, self.domain) and is_below(url, self.domain)
        )

    def are_in(self, value: str | bytes) -> bool:
        """Whether a header's value holds one of them."""
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        return any(secret in text for secret in self.secrets)
