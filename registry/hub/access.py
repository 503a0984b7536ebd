"""Who may do what on the hub: tokens with scopes, and signed addresses for large uploads.

ROOT/hub/tokens.json    sha256 of each token, its name, its scopes; the tokens themselves are
                        shown once, when they are made
ROOT/hub/secret         signs the addresses that clients upload to without a token
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from registry.clock import utc_now
from registry.errors import NotFoundError, UsageError
from registry.files import write_atomically

READ, WRITE = "read", "write"
SCOPES = (READ, WRITE)
_VALID_FOR = 24 * 3600  # seconds that a signed address lives; terabytes take hours
_PREFIX = "hf_"  # huggingface_hub warns of tokens that do not begin so


@dataclass(frozen=True)
class Token:
    """A token without its secret.

    Attributes:
        name: of who uses it.
        scope: `read`, or `write`, which includes reading.
        created: ISO 8601 UTC.
    """

    name: str
    scope: str
    created: str


ANYONE = Token("anyone", "", "")


class Access:
    """The tokens of one hub.

    Args:
        folder: of the hub's state.
        open_to_all: let everyone read and write, for a network that is trusted.
    """

    def __init__(self, folder: Path, *, open_to_all: bool = False) -> None:
        self._folder, self.open_to_all = folder, open_to_all
        self._known: dict[str, Token] = {}
        self._stamp: tuple[int, int] | None = None
        self._key = b""

    def issue(self, name: str, scope: str) -> str:
        """Make a token and return it; it is kept nowhere.

        Raises:
            UsageError: an unknown scope, or a name that is taken.
        """
        if scope not in SCOPES:
            raise UsageError(f"{scope!r} is no scope", remedy="Use read or write.")
        if not name or not name.isprintable() or len(name) > 64:
            raise UsageError(f"{name!r} cannot name a token", remedy="Use up to 64 characters.")
        secret = f"{_PREFIX}{secrets.token_urlsafe(32)}"
        with self._lock():
            known = self._read()
            if any(token.name == name for token in known.values()):
                raise UsageError(
                    f"There is a token named {name!r}", remedy="Revoke it, or use another name."
                )
            self._write({**known, _hash(secret): Token(name, scope, utc_now())})
        return secret

    def revoke(self, name: str) -> None:
        """Make a token invalid at once; raises NotFoundError."""
        with self._lock():
            known = self._read()
            rest = {key: token for key, token in known.items() if token.name != name}
            if len(rest) == len(known):
                raise NotFoundError(f"There is no token named {name!r}")
            self._write(rest)

    def tokens(self) -> list[Token]:
        """All tokens."""
        return sorted(self._read().values(), key=lambda token: token.name)

    def who(self, secret: str) -> Token | None:
        """Whose token this is; None for one that is not valid. Without one it is anyone."""
        if not secret:
            return ANYONE
        return self._read().get(_hash(secret))

    def may(self, token: Token, scope: str) -> bool:
        """Whether a token's bearer may read, or write."""
        return self.open_to_all or token.scope == WRITE or (token.scope == scope == READ)

    def sign(self, text: str) -> str:
        """Append a time and a signature to the path and query of an address."""
        until = int(time.time()) + _VALID_FOR
        joined = f"{text}{'&' if '?' in text else '?'}until={until}"
        return f"{joined}&signature={self._signature(joined)}"

    def is_signed(self, text: str) -> bool:
        """Whether an address was signed here, and is still valid."""
        joined, _, signature = text.rpartition("&signature=")
        until = joined.rpartition("until=")[2]
        fresh = until.isdigit() and int(until) >= time.time()
        return fresh and hmac.compare_digest(signature, self._signature(joined))

    def _signature(self, text: str) -> str:
        if not self._key:
            path = self._folder / "secret"
            with self._lock():
                if not path.is_file():
                    write_atomically(path, secrets.token_bytes(32), mode=0o600)
            self._key = path.read_bytes()
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()

    def _read(self) -> Mapping[str, Token]:
        """The tokens; read again when the file has changed, so that revoking works at once."""
        path = self._folder / "tokens.json"
        try:
            stat = path.stat()
            if (stat.st_mtime_ns, stat.st_ino) != self._stamp:
                rows = json.loads(path.read_bytes())
                self._known = {key: Token(**row) for key, row in rows.items()}
                self._stamp = (stat.st_mtime_ns, stat.st_ino)
        except FileNotFoundError:
            return {}
        return self._known

    def _write(self, tokens: Mapping[str, Token]) -> None:
        rows = {key: vars(token) for key, token in tokens.items()}
        content = json.dumps(rows, indent=1).encode()
        write_atomically(self._folder / "tokens.json", content, mode=0o600)

    def _lock(self) -> FileLock:
        self._folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self._folder / "access.lock")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
