"""What keeps a change of a repository from being made: somebody else was there before."""

from __future__ import annotations

from registry.errors import QregError


class StaleParent(QregError):
    """A commit was made for a parent that is not the newest any more."""

    kind = "conflict"
    exit_code = 7


class AlreadyThere(QregError):
    """A repository, branch or tag of that name exists."""

    kind = "conflict"
    exit_code = 2
