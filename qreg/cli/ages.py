"""Times as users write and read them: `30d`, `5 h`."""

from __future__ import annotations

import re

from registry.errors import UsageError

_UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


def seconds_of(text: str) -> float:
    """Seconds of a time such as `12h`, `30d` or `4w`."""
    match = re.match(r"(\d{1,9})([mhdw])\Z", text)
    if match is None:
        raise UsageError(f"{text!r} is no time", remedy="Write a number and m, h, d or w: 30d .")
    return int(match.group(1)) * _UNITS[match.group(2)]


def ago(seconds: float) -> str:
    """A time in its largest unit."""
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("m", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
