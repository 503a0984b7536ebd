"""One request to an OpenAI-compatible server, streamed, and all that came back.

Streaming keeps the time limits honest: a slow machine may take minutes for an answer, and is only
given up when it says nothing. It also lets an answer end as soon as enough of it is there.
Fields are those of vLLM 0.32 (`entrypoints/generate/base/protocol.py`, `DeltaMessage`): `reasoning`
and, in releases before 0.12, `reasoning_content`. A server that answers with one JSON document is
read, too.
"""

from __future__ import annotations

import json
import re
import time
import urllib.error
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

from serving.probe import open_post

SILENCE = 300.0  # seconds without a byte after which a server is given up
BUDGET = 180.0  # seconds after which what is there has to do
_CONTENT = 48  # pieces of content after which the rest is not needed
_LEAST_TOKENS = 16
# Fields that a server may refuse, and that a proof of life does not need.
_OPTIONAL = ("logprobs", "chat_template_kwargs", "stream_options")
_TOO_LONG = re.compile(r"max_tokens|max_completion_tokens|maximum context length|max_model_len")
_REFUSED = (400, 422)


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        content: what the model says to the user.
        reasoning: what it thought before, where a parser of the server takes that apart.
        calls: tool calls, as JSON.
        tokens: as the server spelled them; empty where it tells no log-probabilities.
        logprobs: of these tokens; None for one that was no number.
        generated: number of tokens, by the server's count or else ours.
        finish: `stop`, `length`, …; empty where the answer was not waited for to its end.
        refused: optional fields that the server did not take.
    """

    content: str = ""
    reasoning: str = ""
    calls: str = ""
    tokens: tuple[str, ...] = ()
    logprobs: tuple[float | None, ...] = ()
    generated: int = 0
    finish: str = ""
    refused: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All of it."""
        return self.reasoning + self.content + self.calls


@dataclass
class _Parts:
    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    logprobs: list[float | None] = field(default_factory=list)
    pieces: int = 0
    counted: int = 0
    finish: str = ""


def ask(url: str, body: Mapping[str, Any], *, budget: float = BUDGET) -> Answer:
    """Ask once; what the server refuses of the request's extras is left out.

    Args:
        url: of `/v1/chat/completions` or `/v1/completions`.
        body: the request; `max_tokens` is lowered where the server's context is shorter.
        budget: seconds after which the answer is cut, if there is one.

    Raises:
        OSError: no connection, or silence; urllib.error.HTTPError for a refusal, whose text is in
            its `msg`.
        ValueError, LookupError, TypeError: the reply is not what the protocol says.
    """
    asked: dict[str, Any] = {**body, "stream": True, "stream_options": {"include_usage": True}}
    refused: list[str] = []
    while True:
        try:
            return _ask(url, asked, tuple(refused), budget)
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")[:2000]
            error.msg = said or error.msg
            if error.code not in _REFUSED or not _relent(asked, said, refused):
                raise


def _relent(asked: dict[str, Any], said: str, refused: list[str]) -> bool:
    """Leave out of a request what the server named, or the first extra; False if nothing is."""
    extras = [name for name in _OPTIONAL if name in asked]
    named = [name for name in extras if name in said]
    if not named and _TOO_LONG.search(said) and asked["max_tokens"] > _LEAST_TOKENS:
        asked["max_tokens"] = max(_LEAST_TOKENS, asked["max_tokens"] // 2)
        return True
    for name in named or extras[:1]:
        del asked[name]
        refused.append(name)
    return bool(extras)


def _ask(url: str, body: Mapping[str, Any], refused: tuple[str, ...], budget: float) -> Answer:
    parts = _Parts()
    deadline = time.monotonic() + budget
    try:
        with open_post(url, body, timeout=SILENCE) as response:
            if "event-stream" not in (response.headers.get("Content-Type") or ""):
                _take(parts, json.load(response), "message")
            else:
                for chunk in _events(response):
                    _take(parts, chunk, "delta")
                    late = time.monotonic() > deadline and parts.pieces > 0
                    if late or len(parts.content) >= _CONTENT:
                        break
    except HTTPException as error:  # the connection ended in the middle
        raise OSError(f"the reply broke off: {error!r}") from error
    except AttributeError as error:  # a part of the reply is no object
        raise ValueError(f"the reply is not what the protocol says: {error}") from error
    return Answer(
        "".join(parts.content),
        "".join(parts.reasoning),
        "".join(parts.calls),
        tuple(parts.tokens),
        tuple(parts.logprobs),
        parts.counted or len(parts.tokens) or parts.pieces,
        parts.finish,
        refused,
    )


def _events(response: Any) -> Iterator[Any]:
    """The documents of a stream of server-sent events."""
    for raw in response:
        line = raw.decode(errors="replace").strip()
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            return
        yield json.loads(data)


def _take(parts: _Parts, document: Any, key: str) -> None:
    """Add what one document of a reply holds; `key` is `message` or, in a stream, `delta`."""
    if not isinstance(document, Mapping):
        raise ValueError(f"the reply is no object: {json.dumps(document)[:200]}")
    if problem := document.get("error"):
        raise ValueError(f"the server said: {json.dumps(problem)[:500]}")
    usage = document.get("usage") or {}
    parts.counted = int(usage.get("completion_tokens") or parts.counted)
    choices = document["choices"] if key == "message" else document.get("choices") or []
    if key == "message" and not choices:
        raise ValueError("the reply has no choices")
    for choice in choices[:1]:
        said = choice.get(key) or {}
        before = parts.pieces
        for name, into in (
            ("content", parts.content),
            ("reasoning", parts.reasoning),
            ("reasoning_content", parts.reasoning),
        ):
            # Some releases send both names of the reasoning, with the same text.
            twice = name == "reasoning_content" and said.get("reasoning")
            if (text := said.get(name)) and isinstance(text, str) and not twice:
                into.append(text)
                parts.pieces += 1
        if calls := said.get("tool_calls"):
            parts.calls.append(json.dumps(calls))
            parts.pieces += 1
        if parts.pieces == before and isinstance(text := choice.get("text"), str) and text:
            parts.content.append(text)
            parts.pieces += 1
        _take_logprobs(parts, choice.get("logprobs") or {})
        parts.finish = choice.get("finish_reason") or parts.finish


def _take_logprobs(parts: _Parts, told: Mapping[str, Any]) -> None:
    for entry in told.get("content") or ():  # of chat completions
        parts.tokens.append(str(entry.get("token", "")))
        parts.logprobs.append(_number(entry.get("logprob")))
    values = told.get("token_logprobs") or ()  # of completions
    for token, value in zip(told.get("tokens") or (), values, strict=False):
        parts.tokens.append(str(token))
        parts.logprobs.append(_number(value))


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
