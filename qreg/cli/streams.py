"""Standard output and error that are closed, or whose reader has gone."""

from __future__ import annotations

import os
import sys


def open_closed_streams() -> None:
    """Let closed standard streams lead nowhere.

    Else the next file that is opened gets the number, and what is meant for people goes into it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free: this one.
            os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - as long as the process


def give_up_broken_streams() -> bool:
    """Write out what waits; a stream that does not take it leads nowhere from now on.

    Returns:
        Whether the reader of one has gone, as `head` does.
    """
    gone = False
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            gone = gone or isinstance(error, BrokenPipeError)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
    return gone
