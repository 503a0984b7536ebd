"""What was just looked up in a bucket, and need not be looked up for each request of a download."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
_SECONDS = 2.0  # that what others do to the bucket may stay unseen
_MOST = 10_000  # names that are remembered


class Recent(Generic[T]):
    """Values by name, for a short time."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, T]] = {}

    def get(self, name: str, look: Callable[[], T]) -> T:
        """A value, looked up unless that was done just now."""
        when, value = self._known.get(name, (float("-inf"), None))
        if time.monotonic() - when < _SECONDS:
            return value  # type: ignore[return-value]
        begun = time.monotonic()
        found = look()
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[name] = (begun, found)
        return found

    def forget(self, name: str) -> None:
        """Look it up the next time."""
        self._known.pop(name, None)
