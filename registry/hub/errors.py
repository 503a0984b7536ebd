"""Refusals of the hub: a status, a code that clients map to their errors, a sentence."""

from __future__ import annotations

from registry.errors import (
    IncompatibleError,
    IntegrityError,
    NotAllowedError,
    NotFoundError,
    QregError,
    UsageError,
)
from registry.hub.repositories import AlreadyThere, StaleParent


class Refusal(Exception):
    """A request that is not carried out.

    Attributes:
        status: of HTTP.
        code: Hugging Face's X-Error-Code, by which its client picks the error's class.
        message: a sentence.
    """

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def refusal_of(error: QregError) -> Refusal:
    """What one of our errors means to a client."""
    statuses: tuple[tuple[type[QregError], int], ...] = (
        (StaleParent, 412),
        (AlreadyThere, 409),
        (NotFoundError, 404),
        (NotAllowedError, 403),
        (UsageError, 400),
        (IntegrityError, 400),
        (IncompatibleError, 400),
    )
    status = next((status for kind, status in statuses if isinstance(error, kind)), 500)
    return Refusal(status, error.message)
