"""The smoke request: proof that a server answers with sound text, kept as evidence.

A model that thinks first is given room for it. If it is still thinking when the room is used up, it
is asked once more without, where its chat template has a switch for that; where it has none,
sound thoughts are an answer, too.
"""

from __future__ import annotations

import time
import urllib.error
from dataclasses import asdict, dataclass
from typing import Any

from registry.config import Settings
from registry.errors import QregError, ToolError
from serving.answers import NOT_JSON, Answer, ask, fault, quiet_switches, read_drafts
from serving.answers.ask import SILENCE
from serving.evidence.record import cause_of, keep_smoke
from serving.launch import Server

PROMPT = "What is json.dumps?"
MAX_TOKENS = 48
# Small reasoning models think for 200 to 400 tokens about such a question.
MAX_TOKENS_THINKING = 512
CONTENT, REASONING, TOOL_CALL = "content", "reasoning", "tool call"


@dataclass(frozen=True)
class Smoke:
    """A prompt and what came back, greedily decoded: the verdict on a server.

    Attributes:
        prompt: what was asked.
        answer: the text, never empty: the content, or what there is in place of it.
        tokens: generated for it.
        seconds: all requests took.
        form: of the answer: `content`, `reasoning` or `tool call`.
        reasoning: thoughts before the answer, where the server takes them apart; may be empty.
        thinking: False if the answer came only after thinking was turned off.
        logprobs: `finite`, or `unknown` if the server told none.
        drafted: tokens that speculative decoding drafted; None without it, or if nobody tells.
        accepted: how many of them the model accepted.
        warnings: what is not right, though the server answers.
    """

    prompt: str
    answer: str
    tokens: int
    seconds: float
    form: str = CONTENT
    reasoning: str = ""
    thinking: bool = True
    logprobs: str = "unknown"
    drafted: int | None = None
    accepted: int | None = None
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON's types."""
        return {**asdict(self), "seconds": round(self.seconds, 3), "warnings": [*self.warnings]}


def smoke(server: Server, settings: Settings, prompt: str = PROMPT) -> Smoke:
    """Ask a server by the artifact's name, judge the answer, and record the evidence.

    Drafts that are never accepted are a warning, no failure: the model itself verifies each of
    them, so that answers are right all the same, only slower.

    Raises:
        ToolError: it refuses, or its answer is empty, one token over and over, or comes with
            log-probabilities that are not finite.
        IntegrityError: someone else answers on its port.
    """
    try:
        result = _judged(server, prompt)
    except QregError as error:
        asked = {"prompt": prompt}
        keep_smoke(server.plan, server.launch, settings, asked, cause=cause_of(error))
        raise
    keep_smoke(server.plan, server.launch, settings, result.to_json())
    return result


def _judged(server: Server, prompt: str) -> Smoke:
    began = time.monotonic()
    answer, thinking, thoughts = _conversation(server, prompt)
    if wrong := fault(answer):
        raise _unsound(server, wrong, answer.text)
    server.check_identity()
    drafted, accepted, warnings = _drafts(server)
    form, text = _essence(answer)
    if form == TOOL_CALL:
        warnings.append("The model answered with a tool call, though no tools were offered.")
    return Smoke(
        prompt,
        text,
        answer.generated,
        time.monotonic() - began,
        form,
        thoughts if form == CONTENT else "",
        thinking,
        "finite" if answer.logprobs else "unknown",
        drafted,
        accepted,
        tuple(warnings),
    )


def _conversation(server: Server, prompt: str) -> tuple[Answer, bool, str]:
    """The answer to judge, whether the model could think before it, and its thoughts."""
    parser = bool(server.plan.value("--reasoning-parser"))
    first = _ask(server, prompt, MAX_TOKENS_THINKING if parser else MAX_TOKENS)
    silent = not first.text.strip()
    if (
        first.content.strip()
        or first.calls
        or not server.plan.chat
        or (fault(first) and not silent)
    ):
        return first, True, first.reasoning
    switches = quiet_switches(server.plan.folder)
    if not switches and (parser or silent):
        return first, True, first.reasoning
    second = _ask(server, prompt, MAX_TOKENS_THINKING, switches)
    # Thoughts that are sound count where there is nothing better.
    if not (second.content.strip() or second.calls or fault(second)) and not silent:
        return first, True, first.reasoning
    if not second.text.strip() and not second.logprobs and not silent:
        return first, True, first.reasoning
    quiet = bool(switches) and "chat_template_kwargs" not in second.refused
    return second, not quiet, first.reasoning


def _ask(
    server: Server, prompt: str, max_tokens: int, switches: dict[str, bool] | None = None
) -> Answer:
    plan = server.plan
    longest = plan.value("--max-model-len") or ""
    if longest.isdigit():  # the question needs room, too
        max_tokens = max(1, min(max_tokens, int(longest) // 2))
    body: dict[str, Any] = {
        "model": plan.value("--served-model-name") or plan.artifact,
        "temperature": 0,
        "max_tokens": max_tokens,
    }
    if plan.chat:
        path = "chat/completions"
        body |= {"messages": [{"role": "user", "content": prompt}], "logprobs": True}
        if switches:
            body["chat_template_kwargs"] = switches
    else:
        path = "completions"
        body |= {"prompt": prompt, "logprobs": 0}
    try:
        return ask(f"{server.url}/v1/{path}", body)
    except (OSError, ValueError, LookupError, TypeError) as error:
        server.require_alive()
        refusal = error.msg if isinstance(error, urllib.error.HTTPError) else ""
        if NOT_JSON in refusal:
            raise _unsound(
                server, "with log-probabilities that are not finite numbers (NaN)", refusal
            ) from error
        found = f"HTTP {error.code}" if isinstance(error, urllib.error.HTTPError) else str(error)
        if isinstance(error, TimeoutError):
            found = f"nothing came for {SILENCE:.0f} seconds"
        raise ToolError(
            f"The server at {server.url} did not answer the smoke request: {found}",
            remedy=f"Its log is {server.log} .",
            details=refusal[:500] or server.tool.tail(),
        ) from error


def _unsound(server: Server, wrong: str, text: str) -> ToolError:
    return ToolError(
        f"The server at {server.url} answered {wrong}",
        remedy="The artifact may be damaged (`qreg lint`, `qreg verify`), or the engine may not "
        f"support it on this hardware; its log is {server.log} .",
        details=text.strip()[:500],
    )


def _essence(answer: Answer) -> tuple[str, str]:
    if answer.content.strip():
        return CONTENT, answer.content
    if answer.calls:
        return TOOL_CALL, answer.calls
    return REASONING, answer.reasoning


def _drafts(server: Server) -> tuple[int | None, int | None, list[str]]:
    if not server.plan.value("--speculative-config"):
        return None, None, []
    found = read_drafts(server.url)
    if found is None:
        return None, None, ["Whether drafts are accepted is not known: /metrics does not tell."]
    warnings = []
    if not found.drafted:
        warnings.append("Speculative decoding is on, but no token was drafted.")
    elif not found.accepted:
        warnings.append(
            f"None of {found.drafted} drafted tokens was accepted: answers are right, but slower "
            "than without drafts. The MTP layers may be damaged, or the draft model another's."
        )
    return found.drafted, found.accepted, warnings
