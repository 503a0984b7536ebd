"""Calibration sets in ModelSlim's layout: JSONL with a field `inputs_pretokenized`."""

from __future__ import annotations

import json
from pathlib import Path

from registry.errors import UsageError

_REMEDY = 'A line reads {"text": "…"}, {"inputs_pretokenized": "…"} or "…" .'


def write_calibration(source: Path, target: Path) -> None:
    """Write a set in ModelSlim's layout; ModelSlim uses all of it.

    Args:
        source: JSONL with a text a line, see `_REMEDY`.
        target: a new file.

    Raises:
        UsageError: a line has no text.
    """
    with source.open(encoding="utf-8") as lines, target.open("w", encoding="utf-8") as out:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            text = text_of(json.loads(line))
            if not text:
                raise UsageError(
                    f"{source}, line {number} holds no text that ModelSlim takes", remedy=_REMEDY
                )
            out.write(json.dumps({"inputs_pretokenized": text}, ensure_ascii=False) + "\n")


def text_of(value: object) -> str:
    """The text of a line; empty if it has none."""
    if isinstance(value, dict):
        value = value.get("inputs_pretokenized", value.get("text"))
    return value if isinstance(value, str) else ""
