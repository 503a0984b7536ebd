"""The hub as an ASGI application."""

from __future__ import annotations

from errno import EDQUOT, ENOSPC

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from registry.errors import QregError
from registry.hub.access import Access
from registry.hub.backends import Backend
from registry.hub.errors import Refusal, answer, refusal_of
from registry.hub.front import AtTheDoor, Front
from registry.hub.guard import Guard
from registry.hub.huggingface import HuggingFaceReading
from registry.hub.huggingface_write import HuggingFaceWriting
from registry.hub.modelscope import ModelScopeRoutes
from registry.hub.repositories import Repositories
from registry.hub.uploads import PART, Uploads


def create_app(
    backend: Backend,
    *,
    open_to_all: bool = False,
    part: int = PART,
    front: Front | None = None,
) -> Starlette:
    """Make the application.

    Args:
        backend: what it keeps its repositories in.
        open_to_all: let everyone read and write without a token.
        part: files larger than so many bytes are uploaded in parts.
        front: where it stands, and by which names.
    """
    access = Access(backend.state, open_to_all=open_to_all)
    repositories = Repositories(backend)
    guard = Guard(repositories, access)
    uploads = Uploads(repositories, access, part)
    return Starlette(
        routes=[
            Route("/health", _health),
            *uploads.routes(),
            *ModelScopeRoutes(guard, uploads).routes(),
            *HuggingFaceWriting(guard, uploads).routes(),
            *HuggingFaceReading(guard).routes(),
        ],
        middleware=[Middleware(AtTheDoor, front=front or Front.of())],
        exception_handlers={
            Refusal: _refuse,
            QregError: _translate,
            OSError: _disk,
            Exception: _fail,
        },
    )


async def _health(request: Request) -> Response:
    return PlainTextResponse("ok\n")


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return answer(request.url.path, error)


async def _translate(request: Request, error: Exception) -> Response:
    assert isinstance(error, QregError)
    return answer(request.url.path, refusal_of(error))


async def _disk(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    if error.errno not in (ENOSPC, EDQUOT):
        raise error
    return answer(request.url.path, Refusal(507, "The hub's disk takes no more"))


async def _fail(request: Request, error: Exception) -> Response:
    """The last resort: a fault of the hub's own. The server logs it, with its traceback."""
    return answer(request.url.path, Refusal(500, "The hub failed; its log says why"))
