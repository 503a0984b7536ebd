"""How much of a quantization is measured after it, and until when.

Measuring everything takes minutes where a tool took seconds. So a run measures for a limited time
unless all is asked for, and what it measured then is a sample: how large a one is recorded beside
the figures, as those of another sample are not to be compared with them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from registry.errors import UsageError

SHORT, FULL, NONE = "short", "full", "none"
MODES = (SHORT, FULL, NONE)
LEAST = 60.0  # seconds that measuring may take, however quick the tool was
_TO_PREDICTIONS = 0.8  # of the time; comparing weights reads them once


class OutOfTime(Exception):
    """The time for a measurement is up."""


@dataclass(frozen=True)
class Budget:
    """The time for a measurement.

    Attributes:
        until: when it is up, as `time.monotonic` counts; None: there is no limit.
    """

    until: float | None = None

    @property
    def left(self) -> float | None:
        """Seconds that are left, 0 or more; None without a limit."""
        return None if self.until is None else max(0.0, self.until - time.monotonic())

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return self.left == 0.0

    def require(self) -> None:
        """Raise OutOfTime if the time is up."""
        if self.is_over:
            raise OutOfTime

    def for_predictions(self) -> Budget:
        """The part that predictions get; what they leave is for the weights."""
        return self if self.left is None else seconds(_TO_PREDICTIONS * self.left)


def seconds(count: float, now: Callable[[], float] = time.monotonic) -> Budget:
    """So many seconds from now on."""
    return Budget(now() + count)


def mode_of(value: str | bool) -> str:
    """SHORT, FULL or NONE; a yes is everything, a no nothing, as before there were modes.

    Raises:
        UsageError: it is none of them.
    """
    if isinstance(value, bool):
        return FULL if value else NONE
    if value not in MODES:
        raise UsageError(
            f"How much is measured must be {', '.join(MODES)}, got {value!r}",
            remedy="short takes no longer than the tool or a minute, full measures everything.",
        )
    return value


def budget_of(mode: str, tool_seconds: float) -> Budget:
    """What measuring may take after a tool that took so many seconds."""
    return seconds(max(tool_seconds, LEAST)) if mode == SHORT else Budget()
