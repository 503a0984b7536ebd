"""Reading what others wrote into a manifest: any JSON may stand where a section is expected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def section(value: object, *names: str) -> Mapping[str, Any]:
    """A mapping inside of mappings, by the names on the way; an empty one where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def text(value: object) -> str | None:
    """A text, or None."""
    return value if isinstance(value, str) else None


def number(value: object) -> float | None:
    """A number that can be shown, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:  # JSON knows integers of any length
        return None
