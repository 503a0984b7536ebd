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
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
from filelock import FileLock

from registry.clock import utc_now
from registry.errors import NotFoundError, UsageError
from registry.files import make_folder, read_own, write_atomically
from registry.hub.commits import DamagedRecord
from registry.hub.scopes import READ, WRITE, Scope

_VALID_FOR = 24 * 3600  # seconds that a signed address lives; terabytes take hours
_PREFIX = "hf_"  # huggingface_hub warns of tokens that do not begin so
_KEY_SIZE = 32  # bytes
_SHORT = 16  # digits by which an address names the token that it was signed for


@dataclass(frozen=True)
class Token:
    """A token without its secret.

    Attributes:
        name: of who uses it.
        scope: what it allows: scopes as users write them, separated by commas (see `scopes`).
        created: ISO 8601 UTC.
    """

    name: str
    scope: str
    created: str

    def may(self, what: str, name: str = "") -> bool:
        """Whether its bearer may read, or write, a repository; without a name: any at all."""
        for text in self.scope.split(","):
            with suppress(UsageError):  # one of a newer qreg grants nothing here
                if Scope.parse(text).allows(what, name):
                    return True
        return False

    @property
    def role(self) -> str:
        """`write` or `read`, as clients ask for it; empty for nobody's."""
        return next((what for what in (WRITE, READ) if self.may(what)), "")


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

    def issue(self, name: str, *scopes: str) -> str:
        """Make a token and return it; it is kept nowhere, and valid after a power cut, too.

        Args:
            name: of who will use it.
            scopes: what it allows.

        Raises:
            UsageError: an unknown scope, or a name that is taken.
        """
        for text in scopes:
            Scope.parse(text)
        if not name or not name.isprintable() or len(name) > 64:
            raise UsageError(f"{name!r} cannot name a token", remedy="Use up to 64 characters.")
        secret = f"{_PREFIX}{secrets.token_urlsafe(32)}"
        with self._lock():
            known = self._read()
            if any(token.name == name for token in known.values()):
                raise UsageError(
                    f"There is a token named {name!r}", remedy="Revoke it, or use another name."
                )
            self._write({**known, _hash(secret): Token(name, ",".join(scopes), utc_now())})
        return secret

    def revoke(self, name: str) -> None:
        """Make a token invalid, at once and for good, as the addresses that were signed for it.

        Raises:
            NotFoundError: there is none of that name.
        """
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

    def may(self, token: Token, what: str, name: str = "") -> bool:
        """Whether a token's bearer may read, or write, a repository; without a name: any."""
        return self.open_to_all or token.may(what, name)

    def signer(self, token: Token) -> Callable[[str], str]:
        """What signs addresses for a token: they end with it, or after a day.

        Returns:
            A function that appends to the path and query of an address for whom and until when it
            is valid, and a signature.
        """
        until = int(time.time()) + _VALID_FOR
        end = f"for={self._short(token)}&until={until}"

        def sign(text: str) -> str:
            joined = f"{text}{'&' if '?' in text else '?'}{end}"
            return f"{joined}&signature={self._signature(joined)}"

        return sign

    def signed_for(self, text: str) -> Token | None:
        """Whom an address was signed for here; None if it was not, or is no longer valid."""
        joined, _, signature = text.rpartition("&signature=")
        rest, _, until = joined.rpartition("&until=")
        short = rest.rpartition("for=")[2]
        if not hmac.compare_digest(signature.encode(), self._signature(joined).encode()):
            return None
        if int(until) < time.time():  # it is ours, so it is a number
            return None
        if short == ANYONE.name:
            return ANYONE if self.open_to_all else None
        return next((t for key, t in self._read().items() if key.startswith(short)), None)

    def _short(self, token: Token) -> str:
        return next(
            (key[:_SHORT] for key, known in self._read().items() if known == token), ANYONE.name
        )

    def _signature(self, text: str) -> str:
        if not self._key:
            path = self._folder / "secret"
            with self._lock():
                key = read_own(path) or b""
                if len(key) != _KEY_SIZE or path.stat().st_mode & 0o077:
                    key = secrets.token_bytes(_KEY_SIZE)
                    write_atomically(path, key, mode=0o600)
                self._key = key
        return hmac.new(self._key, text.encode(errors="replace"), hashlib.sha256).hexdigest()

    def _read(self) -> Mapping[str, Token]:
        """The tokens; read again when the file has changed, so that revoking works at once."""
        path = self._folder / "tokens.json"
        try:
            stat = path.stat()
            if (stat.st_mtime_ns, stat.st_ino) != self._stamp:
                self._known = _tokens(path)
                self._stamp = (stat.st_mtime_ns, stat.st_ino)
        except FileNotFoundError:
            return {}
        return self._known

    def _write(self, tokens: Mapping[str, Token]) -> None:
        rows = {key: vars(token) for key, token in tokens.items()}
        content = json.dumps(rows, indent=1).encode()
        write_atomically(self._folder / "tokens.json", content, mode=0o600)

    def _lock(self) -> FileLock:
        make_folder(self._folder, 0o700)
        return FileLock(self._folder / "access.lock")


def _tokens(path: Path) -> dict[str, Token]:
    """The tokens that a file holds; raises DamagedRecord."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Token])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, IsADirectoryError) as error:
        raise DamagedRecord(
            f"{path.name} of the hub is damaged, so that no token counts",
            remedy="Restore it from a backup, or remove it and make the tokens anew.",
        ) from error


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
