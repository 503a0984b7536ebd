"""Prompts in a file: texts, a line each, or JSON with texts and conversations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from registry.errors import NotFoundError, UsageError

# A text, or a conversation: messages with `role` and `content`.
Prompt = str | list[dict[str, Any]]

_JSON = (".json", ".jsonl", ".ndjson")
_REMEDY = (
    'Write a prompt a line; or JSON: an array or a line each, of texts, {"prompt": "…"} or '
    '{"messages": [{"role": "user", "content": "…"}]}.'
)


def read_prompts(path: Path) -> list[Prompt]:
    """The prompts of a file, in its order; empty lines are none.

    Args:
        path: of UTF-8 text. It is read as JSON if its name ends in .json, .jsonl or .ndjson, or if
            all of it is an array or all its lines are objects; else each line is a prompt.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it cannot be read, or holds no prompts or something else.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no file {path} with prompts", remedy=_REMEDY) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"The prompts in {path} cannot be read as UTF-8 text: {error}", remedy=_REMEDY
        ) from error
    # Not splitlines: it cuts at characters that a text may hold.
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    rows = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    array = _parsed(text)
    if isinstance(array, list):
        found = [_prompt(row, f"{path}, entry {n}") for n, row in enumerate(array, 1)]
    elif path.suffix.lower() in _JSON or _is_jsonl(line for _, line in rows):
        found = [_prompt(_parsed(line), f"{path}, line {number}") for number, line in rows]
    else:
        found = [line for _, line in rows]
    if not found:
        raise UsageError(f"{path} holds no prompts", remedy=_REMEDY)
    return found


def _is_jsonl(lines: Iterator[str]) -> bool:
    found = [isinstance(_parsed(line), dict) for line in lines]
    return bool(found) and all(found)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _prompt(row: Any, where: str) -> Prompt:
    value = row.get("prompt", row.get("messages")) if isinstance(row, dict) else row
    if isinstance(value, str) and value:
        return value
    if isinstance(value, list) and value and all(map(_is_message, value)):
        return value
    raise UsageError(f"{where} is no prompt", remedy=_REMEDY)


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str) and "content" in value
