"""Asking places in which a name may be: not for long, and never at the cost of the answer.

A place that gives no sign of life is given up after some seconds. One that answers has all the
time that its answer takes; patience with transfers is not touched.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from typing import Generic, TypeVar

from registry.errors import TransferError
from registry.transport.signs import Signs, watched

T = TypeVar("T")
LONGEST = 8.0  # seconds without a sign of life
HEAD_START = 1.5  # seconds for one place before the next is asked, too, where either may answer
_LOOK = 0.05


class Question(Generic[T]):
    """A question that is asked in a thread of its own, so that nobody waits for it in vain.

    Args:
        place: is asked, for messages.
        ask: puts the question.
        tells: whether its requests give signs of life themselves (`transport.signs`); the time of
            what does not counts from the beginning.
    """

    def __init__(self, place: str, ask: Callable[[], T], *, tells: bool) -> None:
        self._place, self._ask = place, ask
        self._signs = Signs(None if tells else time.monotonic())
        self._done = threading.Event()
        self._result: T | None = None
        self._error: BaseException | None = None
        # If it is given up, it must not hold the process up.
        run = copy_context().run
        threading.Thread(target=run, args=(self._work,), daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Wait for some time; whether it is answered."""
        return self._done.wait(seconds)

    def result(self) -> T:
        """The answer, waited for as long as there are signs of life.

        Raises:
            TransferError: there were none.
            Exception: what `ask` has raised.
        """
        while not self._done.wait(_LOOK):
            if self._signs.silence() > LONGEST:
                trouble = f": {self._signs.trouble}" if self._signs.trouble else ""
                raise TransferError(
                    f"{self._place} did not answer within {LONGEST:.0f} s{trouble}",
                    remedy="Check the network and the address of the service.",
                )
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]

    def _work(self) -> None:
        try:
            with watched(self._signs):
                self._result = self._ask()
        except BaseException as error:  # noqa: BLE001 - raised where the answer is waited for
            self._error = error
        self._done.set()
