"""The smoke request: proof that a server answers with text, kept as evidence."""

from __future__ import annotations

import time
import urllib.error
from dataclasses import asdict, dataclass
from typing import Any

from registry.config import Settings
from registry.errors import QregError, ToolError
from serving.evidence.record import cause_of, keep_smoke
from serving.launch import Server
from serving.probe import post

PROMPT = "What is json.dumps?"
MAX_TOKENS = 48


@dataclass(frozen=True)
class Smoke:
    """A prompt and what came back, greedily decoded.

    Attributes:
        prompt: what was asked.
        answer: the text, never empty.
        tokens: generated.
        seconds: the request took.
    """

    prompt: str
    answer: str
    tokens: int
    seconds: float


def smoke(server: Server, settings: Settings, prompt: str = PROMPT) -> Smoke:
    """Ask a server once, by the artifact's name, and keep the verdict as evidence.

    Raises:
        ToolError: it refuses, or answers without text.
        IntegrityError: someone else answers on its port.
    """
    try:
        result = _ask(server, prompt)
    except QregError as error:
        asked = {"prompt": prompt}
        keep_smoke(server.plan, server.launch, settings, asked, cause=cause_of(error))
        raise
    keep_smoke(server.plan, server.launch, settings, asdict(result))
    return result


def _ask(server: Server, prompt: str) -> Smoke:
    plan = server.plan
    body: dict[str, Any] = {
        "model": plan.value("--served-model-name") or plan.artifact,
        "temperature": 0,
        "max_tokens": MAX_TOKENS,
    }
    began = time.monotonic()
    try:
        if plan.chat:
            messages = [{"role": "user", "content": prompt}]
            reply = post(f"{server.url}/v1/chat/completions", {**body, "messages": messages})
            answer = reply["choices"][0]["message"]["content"]
        else:
            reply = post(f"{server.url}/v1/completions", {**body, "prompt": prompt})
            answer = reply["choices"][0]["text"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        server.require_alive()
        said = (
            error.read().decode(errors="replace")[:500]
            if isinstance(error, urllib.error.HTTPError)
            else ""
        )
        raise ToolError(
            f"The server at {server.url} did not answer the smoke request: {error}",
            remedy=f"Its log is {server.log} .",
            details=said or server.tool.tail(),
        ) from error
    if not isinstance(answer, str) or not answer.strip():
        raise ToolError(
            f"The server at {server.url} answered without text",
            remedy="The artifact may be damaged or the engine may not support it; "
            f"its log is {server.log} .",
        )
    server.check_identity()
    tokens = int(reply.get("usage", {}).get("completion_tokens", 0))
    return Smoke(prompt, answer, tokens, time.monotonic() - began)
