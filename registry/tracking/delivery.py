"""What a messenger does: it sends a journal as it grows, until whoever writes it is done or dead.

Standard input is the lifeline and the bell: a byte says that the journal has grown, its end that
nobody writes any more. If the journal has no end by then, the writer was killed, and the next
command closes the run; this process leaves at once, not to stand in its way.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from registry.config import load
from registry.tracking.client import initialisation_lock
from registry.tracking.journal import Journal
from registry.tracking.sender import Sender

_RETRY = 30.0  # seconds until an MLflow that was away is asked again
_OTHERS = 60.0  # seconds for another process that sends the same journal
# A tool's start leaves CPU enough for loading MLflow. Not the lowest priority: the end of a run is
# waited for, and on a busy machine that would take a minute.
_NICE = 5


def deliver(folder: str) -> None:
    """Follow the journal in a folder, with the settings of the environment."""
    say = _speak()
    _give_way()
    journal = Journal(Path(folder))
    bell = _Bell(journal)
    if not journal.take_sending(_OTHERS):
        return
    sender = Sender(load())
    while True:
        last = bell.ended
        complete = sender.send(journal)
        say(
            run_id=journal.sent().get("run_id"),
            trouble=sender.trouble,
            refused=sender.refused,
        )
        sender.refused = []
        if last:
            break
        bell.wait(None if complete else _RETRY)
    if complete:
        journal.discard()
        say(delivered=True)
    os._exit(0)  # it is waited for, and Python takes a second to clear away what MLflow brought


class _Bell:
    """Hears the writer, also while MLflow is being loaded."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._rung = threading.Event()
        self.ended = False
        threading.Thread(target=self._listen, daemon=True).start()

    def wait(self, seconds: float | None) -> None:
        """Until the journal has grown, or for some time."""
        self._rung.wait(seconds)
        self._rung.clear()

    def _listen(self) -> None:
        while os.read(0, 4096):
            self._rung.set()
        if not any(operation["op"] == "end" for operation in self._journal.operations()):
            settings = load()
            # A database that is just being made would be left half made.
            with initialisation_lock(settings) if settings.embedded_tracking else nullcontext():
                os._exit(0)
        self.ended = True
        self._rung.set()


def _speak() -> Any:
    """A function that says something to the writer, who may be gone; others' prints go nowhere."""
    voice = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)

    def say(**what: Any) -> None:
        with suppress(OSError):
            voice.write(json.dumps(what) + "\n")
            voice.flush()

    return say


def _give_way() -> None:
    """Take what the tool leaves of the CPU; Linux weighs sessions, too, where it groups by them."""
    with suppress(OSError):
        os.nice(_NICE)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(_NICE))
