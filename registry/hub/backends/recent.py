"""What was just looked up in a bucket, and need not be looked up for each request of a download."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
_SECONDS = 2.0  # that what others do to the bucket may stay unseen
_MOST = 10_000  # names that are remembered


class Recent(Generic[T]):
    """Values by name, for a short time; what is not there is looked for each time."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, T]] = {}
        self._changes = 0

    def get(self, name: str, look: Callable[[], T]) -> T:
        """A value, looked up unless that was done just now."""
        known = self._known.get(name)
        if known is not None and time.monotonic() - known[0] < _SECONDS:
            return known[1]
        begun, changes = time.monotonic(), self._changes
        found = look()
        # A look that began before a change may have seen what was there before it.
        if found is not None and changes == self._changes:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[name] = (begun, found)
        return found

    def forget(self, name: str) -> None:
        """Look it up the next time."""
        self._changes += 1
        self._known.pop(name, None)
