"""Times as we write them down: UTC, ISO 8601, whole seconds."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def utc_now() -> str:
    """The time now."""
    return iso(datetime.now(timezone.utc).timestamp())


def iso(seconds: float) -> str:
    """A time given in seconds since 1970."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def boot_id() -> str:
    """What tells this run of the machine from those before; the same word where nothing does."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return "unknown"
