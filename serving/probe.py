"""Talking to an OpenAI-compatible server, with the standard library and without proxies."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Mapping
from typing import Any

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def is_healthy(url: str) -> bool:
    """Whether `GET /health` answers 200 within two seconds."""
    try:
        with _DIRECT.open(f"{url}/health", timeout=2) as response:
            return bool(response.status == 200)
    except (OSError, ValueError):
        return False


def get_text(url: str, timeout: float = 10.0) -> str:
    """GET a text, with the engine's key if there is one; raises OSError."""
    request = urllib.request.Request(url, headers=_headers())  # noqa: S310 - our own server
    with _DIRECT.open(request, timeout=timeout) as response:
        return bytes(response.read()).decode(errors="replace")


def open_post(url: str, body: Mapping[str, Any], timeout: float) -> Any:
    """POST JSON; the reply is read by the caller, and closed by its `with`.

    Args:
        url: of our own server.
        body: the document.
        timeout: seconds of silence after which it is given up.

    Raises:
        OSError: no connection, or a time-out; urllib.error.HTTPError with its body for a refusal.
    """
    headers = {"Content-Type": "application/json", **_headers()}
    request = urllib.request.Request(  # noqa: S310 - the URL is that of our own server
        url, json.dumps(body).encode(), headers
    )
    return _DIRECT.open(request, timeout=timeout)


def _headers() -> dict[str, str]:
    key = os.environ.get("VLLM_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}
