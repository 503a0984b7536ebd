"""Signs of life of a service, for whoever waits for its first answer.

Patience with a transfer is measured in minutes. Where names are looked up in several places, one
that is silent must not cost that much: whoever looks waits for a sign of life, and gives up
without one. Those who ask tell it here, wherever in the code they are.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass
class Signs:
    """What was seen of a service so far.

    Attributes:
        since: when it was asked, or a part of its answer came last; None before (`monotonic`).
        answered: whether it has answered a question in full.
        trouble: what failed last, in a sentence.
    """

    since: float | None = None
    answered: bool = False
    trouble: str = ""

    def silence(self) -> float:
        """Seconds since the last sign of life; 0 before the first question, and after an answer."""
        if self.since is None or self.answered:
            return 0.0
        return time.monotonic() - self.since


_WATCHED: ContextVar[Signs | None] = ContextVar("signs", default=None)


@contextmanager
def watched(signs: Signs) -> Iterator[None]:
    """Note what is seen of a service while the block lasts, in this thread."""
    token = _WATCHED.set(signs)
    try:
        yield
    finally:
        _WATCHED.reset(token)


def note_question() -> None:
    """A question goes out; only the first one starts the clock."""
    signs = _WATCHED.get()
    if signs is not None and signs.since is None:
        signs.since = time.monotonic()


def note_part() -> None:
    """A part of an answer has come."""
    signs = _WATCHED.get()
    if signs is not None:
        signs.since = time.monotonic()


def note_answer() -> None:
    """A question was answered, be it with a refusal."""
    signs = _WATCHED.get()
    if signs is not None:
        signs.answered = True


def note_trouble(text: str) -> None:
    """A try has failed in a way that may pass."""
    signs = _WATCHED.get()
    if signs is not None:
        signs.trouble = text
