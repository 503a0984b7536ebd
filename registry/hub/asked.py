"""What requests say: names, JSON bodies, contents inside of them."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from starlette.requests import Request

from registry.hub.errors import Refusal

T = TypeVar("T")


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


def text_of(value: Mapping[str, Any], key: str) -> str:
    """A text that a request may hold; empty where it has none, a Refusal for anything else."""
    return _of_type(value, key, str, "a text") or ""


def flag_of(value: Mapping[str, Any], key: str) -> bool | None:
    """A truth value that a request may hold; a Refusal for anything else."""
    return _of_type(value, key, bool, "true or false")


def number_of(value: Mapping[str, Any], key: str) -> int | None:
    """A whole number that a request may hold; a Refusal for anything else."""
    return _of_type(value, key, int, "a whole number")


def _of_type(value: Mapping[str, Any], key: str, kind: type[T], shown: str) -> T | None:
    found = value.get(key)
    if found is None or type(found) is kind:  # exactly: in Python, true is a number
        return found
    raise Refusal(400, f"{key} must be {shown}, not {json.dumps(found)[:100]}")


def content_of(value: Mapping[str, Any]) -> bytes:
    """The small content that an operation of a commit holds."""
    content = str(value.get("content", ""))
    if value.get("encoding") != "base64":
        return content.encode(errors="replace")
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(400, f"The content of {value.get('path')} is no base64") from error
