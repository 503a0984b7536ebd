"""The hub as an ASGI application."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from registry.errors import QregError
from registry.hub.access import Access
from registry.hub.backends import Backend
from registry.hub.errors import Refusal, refusal_of
from registry.hub.guard import Guard
from registry.hub.huggingface import HuggingFaceReading
from registry.hub.huggingface_write import HuggingFaceWriting
from registry.hub.modelscope import ModelScopeRoutes
from registry.hub.repositories import Repositories
from registry.hub.uploads import PART, Uploads
from registry.names import one_line


def create_app(backend: Backend, *, open_to_all: bool = False, part: int = PART) -> Starlette:
    """Make the application.

    Args:
        backend: what it keeps its repositories in.
        open_to_all: let everyone read and write without a token.
        part: files larger than so many bytes are uploaded in parts.
    """
    access = Access(backend.state, open_to_all=open_to_all)
    guard = Guard(Repositories(backend), access)
    uploads = Uploads(backend.contents, access, part)
    return Starlette(
        routes=[
            Route("/health", _health),
            *uploads.routes(),
            *ModelScopeRoutes(guard, uploads).routes(),
            *HuggingFaceWriting(guard, uploads).routes(),
            *HuggingFaceReading(guard).routes(),
        ],
        exception_handlers={Refusal: _refuse, QregError: _translate, KeyError: _malformed},
    )


async def _health(request: Request) -> Response:
    return PlainTextResponse("ok\n")


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    message = one_line(error.message).encode("latin-1", "replace").decode("latin-1")
    if request.url.path.startswith(("/api/v1/", "/openapi/")):
        content = {
            "Code": error.status,
            "Success": False,
            "success": False,
            "Message": error.message,
            "RequestId": "",
            "Data": None,
        }
        return JSONResponse(content, error.status)
    headers = {"X-Error-Message": message}
    if error.code:
        headers["X-Error-Code"] = error.code
    return JSONResponse({"error": error.message}, error.status, headers)


async def _translate(request: Request, error: Exception) -> Response:
    assert isinstance(error, QregError)
    return await _refuse(request, refusal_of(error))


async def _malformed(request: Request, error: Exception) -> Response:
    return await _refuse(request, Refusal(400, f"The request lacks {error}"))
