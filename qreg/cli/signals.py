"""SIGTERM ends a command as Ctrl-C does: through its clean-up."""

from __future__ import annotations

import signal
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP. Like Ctrl-C it passes every `except Exception` on its way."""


def terminate_as_interruption() -> None:
    """Let SIGTERM and SIGHUP raise `Terminated` in the main thread.

    SIGINT gets Python's usual handler: a command that a script starts in the background inherits
    SIGINT ignored, and could not be interrupted at all. An ignored SIGHUP stays so: that is nohup.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Terminated(signal.Signals(number).name)
