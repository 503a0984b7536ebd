"""What a manifest only claims: what qreg.json says and no one can derive from the files.

Whoever can write an artifact can write any base, tool or quality into its qreg.json. So what is
shown of these sections is marked, wherever it is shown; architecture, schemes, footprint and sizes
are derived anew from the files, and need no mark.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.artifact import Manifest
from registry.names import one_line

CLAIMED = "claimed"  # the one word for it
WHY = "qreg.json says so; nobody signed it"
_LONGEST = 400  # characters of a claim that are shown


def claim(text: Any) -> str:
    """What is claimed, on one line and with its mark, for people."""
    return f"{plain(text)} ({CLAIMED})"


def plain(value: Any) -> str:
    """What a manifest says in one place, on one line of bearable length; empty for nothing."""
    text = "" if value is None else one_line(str(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def section(parent: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A part of a manifest's section; empty where it is none: nobody checked what stands in it."""
    return mapping(parent.get(key))


def mapping(value: Any) -> Mapping[str, Any]:
    """The value, if it is a mapping; else an empty one."""
    return value if isinstance(value, Mapping) else {}


def figures(provenance: Mapping[str, Any]) -> dict[str, float]:
    """The numbers that are claimed of an artifact's quality."""
    found = {plain(name): number(value) for name, value in section(provenance, "quality").items()}
    return {name: value for name, value in found.items() if value is not None}


def extent(provenance: Mapping[str, Any]) -> str:
    """How much those numbers are of, where that is not all; empty else.

    Numbers of a part of the text or of the layers are not to be compared with those of another.
    """
    found = section(provenance, "evaluation")
    tokens, of_tokens, compared, left_out = (
        _count(found.get(key))
        for key in ("tokens", "of_tokens", "layers_compared", "layers_left_out")
    )
    parts = [f"{tokens:,} of {of_tokens:,} tokens"] if tokens < of_tokens else []
    parts += [f"{compared:,} of {compared + left_out:,} layers"] if left_out > 0 else []
    return ", ".join(parts)


def _count(value: Any) -> int:
    """A number of things that somebody claims; 0 for what is none."""
    found = number(value)
    return int(found) if found is not None and 0 < found < 2**63 else 0


def number(value: Any) -> float | None:
    """A number that can be shown, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:  # JSON knows integers of any length
        return None


def claims_of(manifest: Manifest, derived: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """The fields of a manifest that are claimed, `provenance` or `footprint.note`.

    Args:
        manifest: as it was read.
        derived: the sections that were derived from the files anew.
    """
    found = [key for key in ("created", "provenance", "evidence") if getattr(manifest, key)]
    found += [
        f"{name}.{key}"
        for name, content in derived.items()
        for key in getattr(manifest, name)
        if key not in content
    ]
    found += sorted({f"files.{key}" for extra in manifest.file_extra.values() for key in extra})
    return (*found, *sorted(manifest.extra))
