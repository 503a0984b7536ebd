"""Talking to an OpenAI-compatible server, with the standard library and without proxies."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from typing import Any

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def is_healthy(url: str) -> bool:
    """Whether `GET /health` answers 200 within two seconds."""
    try:
        with _DIRECT.open(f"{url}/health", timeout=2) as response:
            return bool(response.status == 200)
    except (OSError, ValueError):
        return False


def post(url: str, body: dict[str, Any], timeout: float = 300.0) -> dict[str, Any]:
    """POST JSON and read JSON, with the key that the engine was given in VLLM_API_KEY, if any.

    Raises:
        OSError: no connection, or a time-out; urllib.error.HTTPError with its body for a refusal.
    """
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("VLLM_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(  # noqa: S310 - the URL is that of our own server
        url, json.dumps(body).encode(), headers
    )
    with _DIRECT.open(request, timeout=timeout) as response:
        value: dict[str, Any] = json.load(response)
        return value
