"""Refusals of the hub: a status, a code that clients map to their errors, a sentence."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from registry.errors import (
    IncompatibleError,
    IntegrityError,
    NotAllowedError,
    NotFoundError,
    QregError,
    TransientError,
    UsageError,
)
from registry.hub.commits import DamagedRecord
from registry.hub.conflicts import AlreadyThere, StaleParent
from registry.names import one_line

_LONGEST = 1000  # characters of a sentence in a header; clients take lines of 64 KiB


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
        (DamagedRecord, 500),
        (StaleParent, 412),
        (AlreadyThere, 409),
        (NotFoundError, 404),
        (NotAllowedError, 403),
        (UsageError, 400),
        (IntegrityError, 400),
        (IncompatibleError, 400),
        (TransientError, 503),
    )
    status = next((status for kind, status in statuses if isinstance(error, kind)), 500)
    return Refusal(status, error.message)


def answer(path: str, refusal: Refusal) -> Response:
    """A refusal as the API tells it to which a path belongs."""
    message = one_line(refusal.message)
    if path.startswith(("/api/v1/", "/openapi/")):
        content = {
            "Code": refusal.status,
            "Success": False,
            "success": False,
            "Message": message,
            "RequestId": "",
            "Data": None,
        }
        return JSONResponse(content, refusal.status)
    headers = {"X-Error-Message": message[:_LONGEST].encode("latin-1", "replace").decode("latin-1")}
    if refusal.code:
        headers["X-Error-Code"] = refusal.code
    return JSONResponse({"error": message}, refusal.status, headers)
