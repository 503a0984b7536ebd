"""Trying again: what passes by itself is waited for, with growing pauses and a limit."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from registry.errors import TransientError, UsageError
from registry.transport.signs import note_trouble

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long to bear a network or server that fails.

    Attributes:
        attempts: tries in a row that bring nothing, the first one included.
        pause: seconds before the second try; each further pause is twice as long, with jitter.
        longest: seconds that one pause takes at most, also where a server asks for more.
        stall: seconds without a byte after which a connection counts as broken.
    """

    attempts: int = 6
    pause: float = 0.5
    longest: float = 60.0
    stall: float = 30.0

    @classmethod
    def from_environment(cls) -> Patience:
        """With QREG_ATTEMPTS tries and QREG_STALL seconds of silence, where these are set."""
        attempts, stall = os.environ.get("QREG_ATTEMPTS"), os.environ.get("QREG_STALL")
        try:
            return cls(
                attempts=max(1, int(attempts)) if attempts else cls.attempts,
                stall=max(0.1, float(stall)) if stall else cls.stall,
            )
        except ValueError as error:
            raise UsageError(
                "QREG_ATTEMPTS and QREG_STALL must be numbers",
                remedy="Unset them, or give a number of tries and of seconds.",
            ) from error

    @property
    def answer(self) -> float:
        """Seconds that a server has, when a large body has arrived, to store it and to answer."""
        return 2 * self.stall

    def before(self, attempt: int, error: TransientError) -> float:
        """Seconds to wait before try number `attempt` (the second is 1)."""
        if error.retry_after is not None:
            return min(max(error.retry_after, 0.0), self.longest)
        grown: float = self.pause * 2 ** (attempt - 1)
        return min(grown, self.longest) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter


def patiently(
    patience: Patience, action: Callable[[], T], sleep: Callable[[float], None] = time.sleep
) -> T:
    """The result of an action that may be repeated; the last failure if all tries fail."""
    attempt = 1
    while True:
        try:
            return action()
        except TransientError as error:
            note_trouble(error.message)
            if attempt >= patience.attempts:
                raise
            sleep(patience.before(attempt, error))
            attempt += 1
