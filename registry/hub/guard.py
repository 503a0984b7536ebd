"""Who asks, and whether they may: the same for all routes."""

from __future__ import annotations

from contextlib import suppress

from starlette.requests import Request

from registry.errors import NotFoundError, UsageError
from registry.hub.access import ANYONE, READ, WRITE, Access, Token
from registry.hub.errors import Refusal
from registry.hub.repositories import Repositories
from registry.hub.repository import Repository

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
        if token is None:
            raise Refusal(401, "Invalid username or password: the token is not valid here")
        return token

    def reading(self, request: Request, name: str) -> Repository:
        """The repository, for whoever may read it; for others it does not exist."""
        token = self.who(request)
        missing = Refusal(404, f"There is no repository {name[:200]}", NO_REPOSITORY)
        try:
            found = self.repositories.get(name)
        except (NotFoundError, UsageError) as error:
            raise missing from error
        if found.private and not self.access.may(token, READ):
            raise missing
        return found

    def writing(self, request: Request, name: str = "") -> Repository | None:
        """The repository, for whoever may write to it; None without a name."""
        token = self.who(request)
        if name and not self.access.may(token, WRITE):
            self.reading(request, name)  # what one may not see is not there
        if not self.access.may(token, WRITE):
            status = 401 if token is ANYONE else 403
            raise Refusal(status, "Writing takes a token with the scope 'write'")
        return self.reading(request, name) if name else None

    def visible(self, request: Request) -> list[Repository]:
        """All repositories that whoever asks may read."""
        token = self.who(request)
        may_read = self.access.may(token, READ)
        found = []
        for name in self.repositories.names():
            with suppress(NotFoundError, UsageError):  # removed meanwhile, or not yet whole
                found.append(self.repositories.get(name))
        return [repository for repository in found if may_read or not repository.private]
