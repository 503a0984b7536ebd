"""Judging the text of an answer: what a damaged artifact or a wrong kernel makes of it."""

from __future__ import annotations

import math
import re

from serving.answers.ask import Answer

# What starlette's JSONResponse says when a number is NaN or infinite: vLLM then answers 500
# (`allow_nan=False`; max(nan, -9999.0) in vLLM's chat_completion/serving.py stays NaN).
NOT_JSON = "Out of range float values are not JSON compliant"
_FEW = 8  # tokens; a shorter answer can be one word by right
_START = 2  # tokens before the repetition, such as a line feed
# A piece of up to 16 characters that is all of a text, eight times or more.
_OVER_AND_OVER = re.compile(r"(?P<piece>.{1,16}?)(?P=piece){7,}", re.DOTALL)


def fault(answer: Answer) -> str:
    """What is wrong with an answer, as the end of "The server answered …"; empty if nothing is."""
    if any(not _is_finite(value) for value in answer.logprobs):
        return "with log-probabilities that are not finite numbers (NaN)"
    if not answer.text.strip():
        return "without text"
    if piece := _repeated(answer):
        return f"with one token over and over: {piece!r}"
    return ""


def _is_finite(value: float | None) -> bool:
    # vLLM streams NaN as null: pydantic's `ser_json_inf_nan`.
    return value is not None and math.isfinite(value)


def _repeated(answer: Answer) -> str:
    tokens = answer.tokens
    rest = tokens[_START:] if len(tokens) > _FEW + _START else tokens
    if len(rest) >= _FEW and len(set(rest)) == 1 and rest[0].strip("\ufffd"):
        return rest[0]
    for text in (answer.content, answer.reasoning):
        found = _OVER_AND_OVER.fullmatch(text.strip())
        if found is not None:
            return found["piece"]
    return ""
