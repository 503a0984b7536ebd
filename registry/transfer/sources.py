"""Where the contents of one artifact can be had, in order of preference."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock

from registry.errors import QregError
from registry.stores import Snapshot


class Sources:
    """Snapshots of the same digest; the next one is opened when the one in use has failed.

    Args:
        first: is used as long as it delivers.
        further: opened one by one, as they are needed.
    """

    def __init__(self, first: Snapshot, further: Iterable[Snapshot] = ()) -> None:
        self._opened = [first]
        self._further = iter(further)
        self._lock = Lock()

    @property
    def number(self) -> int:
        """The number of the source in use; it grows when one fails."""
        return len(self._opened) - 1

    @property
    def current(self) -> Snapshot:
        """The source in use."""
        return self._opened[-1]

    def fail(self, number: int, error: QregError) -> Snapshot:
        """Give a source up for good.

        Args:
            number: of the source that failed; if another one is in use already, nothing happens.
            error: what it failed with.

        Returns:
            The source in use from now on.

        Raises:
            QregError: `error`, if there is no other source.
        """
        with self._lock:
            if number == self.number:
                following = next(self._further, None)
                if following is None:
                    raise error
                self._opened.append(following)
            return self.current
