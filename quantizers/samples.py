"""Samples of a calibration set, whichever shape its file has: one JSON array, or a line a sample.

These are the shapes of ModelSlim's own sets (`lab_calib` of 26.1.0, `example/common` of its
repository) and of LLM-Compressor's: JSON Lines and arrays, of texts or of objects that hold one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.errors import UsageError

ARRAY, LINES = "array", "lines"
# Fields that hold the text; ModelSlim's sets use the first. In one set of its, of that name, it
# takes another (`utils/security/model.py`).
TEXT_FIELDS = ("inputs_pretokenized", "text")
_NAMED_FIELDS = {"humaneval_x.jsonl": ("prompt",)}
LAYOUT = (
    'A set is a file of JSON Lines or one JSON array. A sample is "…", {"text": "…"} or '
    '{"inputs_pretokenized": "…"}'
)


@dataclass(frozen=True)
class Sample:
    """One sample.

    Attributes:
        where: it stands, for messages: `set.jsonl, line 3`.
        value: as JSON gives it.
        fields: that hold the text of an object.
    """

    where: str
    value: Any
    fields: tuple[str, ...] = TEXT_FIELDS

    @property
    def given(self) -> str | None:
        """Its text, which may be empty; None if it has none."""
        value = self.value
        if isinstance(value, Mapping):
            value = next((value[key] for key in self.fields if key in value), None)
        return value if isinstance(value, str) else None

    @property
    def text(self) -> str:
        """Its text; empty if it has none."""
        return self.given or ""

    @property
    def is_chat(self) -> bool:
        """Whether it holds a conversation."""
        return isinstance(self.value, Mapping) and isinstance(self.value.get("messages"), list)


def shape_of(path: Path) -> str:
    """`array` for a file that is one JSON array, else `lines`; raises UsageError."""
    with path.open("rb") as file:
        start = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    return ARRAY if start.startswith(b"[") else LINES


def read_samples(path: Path) -> Iterator[Sample]:
    """Read a set sample by sample; empty lines are none.

    Raises:
        UsageError: it is not UTF-8, or not JSON.
    """
    try:
        if shape_of(path) == ARRAY:
            yield from _array(path)
            return
        fields = _NAMED_FIELDS.get(path.name, TEXT_FIELDS)
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    where = f"{path}, line {number}"
                    yield Sample(where, _json(line, where), fields)
    except UnicodeDecodeError as error:
        raise UsageError(
            f"The calibration file {path} is not UTF-8 text: {error}", remedy=f"{LAYOUT}."
        ) from error


def _array(path: Path) -> Iterator[Sample]:
    values = _json(path.read_text(encoding="utf-8-sig"), str(path))
    for number, value in enumerate(values, 1):
        yield Sample(f"{path}, entry {number}", value)


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where} is not JSON: {error}", remedy=f"{LAYOUT}.") from error
