"""Who asks, and whether they may: the same for all routes."""

from __future__ import annotations

from contextlib import suppress

from starlette.requests import Request

from registry.errors import IntegrityError, NotFoundError, UsageError
from registry.hub.access import ANYONE, Access, Token
from registry.hub.errors import Refusal
from registry.hub.repositories import Repositories
from registry.hub.repository import Repository
from registry.hub.scopes import EVERY, READ, WRITE

NO_REPOSITORY = "RepoNotFound"


class Guard:
    """Lets requests through, or refuses them.

    Args:
        repositories: of the hub.
        access: its tokens.
    """

    def __init__(self, repositories: Repositories, access: Access) -> None:
        self.repositories, self.access = repositories, access

    def who(self, request: Request) -> Token:
        """Whose token a request bears: as a Bearer, or as ModelScope's session cookie.

        Raises:
            Refusal: the token is not valid.
        """
        header = request.headers.get("Authorization", "")
        secret = header[7:] if header.lower().startswith("bearer ") else ""
        token = self.access.who(secret.strip() or request.cookies.get("m_session_id", ""))
        if token is None and self.access.open_to_all:
            return ANYONE  # clients send whatever token they have
        if token is None:
            raise Refusal(401, "Invalid username or password: the token is not valid here")
        return token

    def reading(self, request: Request, name: str) -> Repository:
        """The repository, for whoever may read it; for others it does not exist."""
        token = self.who(request)
        try:
            found = self.repositories.get(name)
        except (NotFoundError, UsageError) as error:
            raise _missing(name) from error
        if found.private and not self.access.may(token, READ, name):
            raise _missing(name)
        return found

    def writing(self, request: Request, name: str) -> Token:
        """Whose token it is, for whoever may write to a repository.

        Raises:
            Refusal: the bearer may not, or there is no such repository.
        """
        token = self.who(request)
        if not self.access.may(token, WRITE, name):
            self.reading(request, name)  # what one may not see is not there
            raise _not_to_write(token, name)
        self.reading(request, name)
        return token

    def creating(self, request: Request, name: str = "") -> Token:
        """Whose token it is, for whoever may make a repository of a name, or any at all.

        Raises:
            Refusal: the bearer may not.
        """
        token = self.who(request)
        if not self.access.may(token, WRITE, name):
            raise _not_to_write(token, name)
        return token

    def reads_all(self, token: Token) -> bool:
        """Whether a token's bearer may read every repository."""
        return self.access.may(token, READ, EVERY)

    def visible(self, request: Request) -> list[Repository]:
        """All repositories that whoever asks may read."""
        token, found = self.who(request), []
        for name in self.repositories.names():
            # Removed meanwhile, not yet whole, or damaged: that must not hide all others.
            with suppress(NotFoundError, UsageError, IntegrityError):
                found.append(self.repositories.get(name))
        return [r for r in found if not r.private or self.access.may(token, READ, r.name)]


def _missing(name: str) -> Refusal:
    return Refusal(404, f"There is no repository {name[:200]}", NO_REPOSITORY)


def _not_to_write(token: Token, name: str) -> Refusal:
    where = f" for {name[:200]}" if name else ""
    status = 401 if token is ANYONE else 403
    return Refusal(status, f"Writing takes a token with the scope 'write'{where}")
