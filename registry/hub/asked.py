"""What requests say: names, JSON bodies, contents inside of them."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from registry.hub.errors import Refusal


def repository_name(request: Request) -> str:
    """ORG/NAME of a route's path."""
    return f"{request.path_params['org']}/{request.path_params['name']}"


def base_url(request: Request) -> str:
    """The hub's own address as the client sees it."""
    return str(request.base_url).rstrip("/")


MOST = 16 * 2**20  # bytes of a usual request
MOST_COMMIT = 512 * 2**20  # bytes of a commit; large files come before it, by themselves


async def body_of(request: Request, limit: int = MOST) -> bytes:
    """A request's body, which is held in memory; a Refusal if it is longer than `limit` bytes."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > limit:
            raise Refusal(413, f"The request is longer than {limit} bytes")
    return bytes(content)


async def json_body(request: Request, limit: int = MOST) -> dict[str, Any]:
    """The JSON object that a request holds; a Refusal for anything else."""
    try:
        value = json.loads(await body_of(request, limit) or b"{}")
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "The request's body is no JSON") from error
    if not isinstance(value, dict):
        raise Refusal(400, "The request's body is no JSON object")
    return value


def content_of(value: Mapping[str, Any]) -> bytes:
    """The small content that an operation of a commit holds."""
    content = str(value.get("content", ""))
    if value.get("encoding") != "base64":
        return content.encode(errors="replace")
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(400, f"The content of {value.get('path')} is no base64") from error
