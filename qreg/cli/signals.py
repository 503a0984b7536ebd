"""SIGTERM ends a command as Ctrl-C does: through its clean-up."""

from __future__ import annotations

import signal
from types import FrameType

from registry.errors import Interrupted


def terminate_as_interruption() -> None:
    """Let SIGTERM and SIGHUP raise `Interrupted` in the main thread."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(f"Stopped by {signal.Signals(number).name}")
