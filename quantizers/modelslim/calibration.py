"""Calibration sets in ModelSlim's layout: JSONL with a field `inputs_pretokenized`."""

from __future__ import annotations

import json
from pathlib import Path

from registry.errors import UsageError

_REMEDY = 'A line reads {"text": "…"}, {"inputs_pretokenized": "…"} or "…" .'


def write_calibration(source: Path, target: Path, samples: int) -> None:
    """Write the first samples of a set in ModelSlim's layout.

    Args:
        source: JSONL with a text a line, see `_REMEDY`.
        target: a new file.
        samples: how many at the most.

    Raises:
        UsageError: a line has no text.
    """
    written = 0
    with source.open(encoding="utf-8") as lines, target.open("w", encoding="utf-8") as out:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            if written == samples:
                break
            text = text_of(json.loads(line))
            if not text:
                raise UsageError(
                    f"{source}, line {number} holds no text that ModelSlim takes", remedy=_REMEDY
                )
            out.write(json.dumps({"inputs_pretokenized": text}, ensure_ascii=False) + "\n")
            written += 1


def text_of(value: object) -> str:
    """The text of a line; empty if it has none."""
    if isinstance(value, dict):
        value = value.get("inputs_pretokenized", value.get("text"))
    return value if isinstance(value, str) else ""
