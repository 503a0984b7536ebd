"""SIGTERM ends a command as Ctrl-C does: through its clean-up."""

from __future__ import annotations

import signal
from types import FrameType

from registry.errors import Interrupted


def terminate_as_interruption() -> None:
    """Let SIGTERM and SIGHUP raise `Interrupted` in the main thread.

    SIGINT gets Python's usual handler: a command that a script starts in the background inherits
    SIGINT ignored, and could not be interrupted at all.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(f"Stopped by {signal.Signals(number).name}")
