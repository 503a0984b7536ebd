"""Times as we write them down: UTC, ISO 8601, whole seconds."""

from __future__ import annotations

from datetime import datetime, timezone


def utc_now() -> str:
    """The time now."""
    return iso(datetime.now(timezone.utc).timestamp())


def iso(seconds: float) -> str:
    """A time given in seconds since 1970."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
