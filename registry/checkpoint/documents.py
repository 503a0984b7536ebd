"""JSON files of a checkpoint: config.json, indexes, descriptions; bounded in what they can cost."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from registry.checkpoint.disguise import HEAD, disguise_of
from registry.errors import IntegrityError

MAX_JSON = 512 * 2**20  # bytes; the description of a 1 TB model has about 17 MB
MAX_CONFIG = 16 * 2**20  # bytes
_MOST_TABLES = 100_000  # an index has two, a description some for each rotation
_LARGE_JSON = 2**20  # bytes
_REMEDY = "Copy or download this file again."


def parse_document(what: str, raw: bytes, *, flat: bool) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        what: the file, for messages.
        raw: its content.
        flat: it is a table of tensors, with few tables or lists inside.

    Raises:
        IntegrityError: it is no JSON object, or one that takes far more memory than its size.
    """
    if flat and raw.count(b"[") + raw.count(b"{") > _MOST_TABLES:
        raise IntegrityError(f"{what} is no flat table of tensors", remedy=_REMEDY)
    try:
        value = _parse(raw)
    except (ValueError, RecursionError) as error:
        disguise = disguise_of(raw[:HEAD])
        found = f" but looks like: {disguise}" if disguise else f": {error}"
        raise IntegrityError(f"{what} is not JSON{found}", remedy=_REMEDY) from error
    if not isinstance(value, dict):
        raise IntegrityError(f"{what} is not a JSON object", remedy=_REMEDY)
    return value


def _parse(raw: bytes) -> Any:
    """JSON; large files by a faster parser, which refuses what Python's writes (NaN)."""
    if len(raw) > _LARGE_JSON:
        try:
            return msgspec.json.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            pass
    return json.loads(raw.decode("utf-8"))
