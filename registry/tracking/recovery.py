"""Closing what dead processes left open, and sending what MLflow could not take before."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from registry.config import Settings
from registry.files import remove_tree
from registry.tracking.journal import KILLED, PUBLICATION, Journal, journals

_RETRY_AFTER = 60.0  # seconds between two attempts to reach an MLflow that was away
_SENDING = 60.0  # seconds that another process may take to send something
_LEAVING = 5.0  # seconds that the messenger of a dead process may take to leave


@dataclass(frozen=True)
class Synchronisation:
    """What was sent, what is still waiting, and why.

    Attributes:
        sent: how many records.
        waiting: how many wait for this MLflow.
        trouble: why they do.
        elsewhere: how many were recorded for another MLflow, by its address; the default one, in
            the data folder, is an empty one.
    """

    sent: int
    waiting: int
    trouble: str = ""
    elsewhere: Mapping[str, int] = field(default_factory=dict)


def recover(settings: Settings) -> Synchronisation:
    """Look after activities whose process is gone; nearly free when there are none.

    A run that was cut off ends KILLED and its half-made output is removed at once. Sending is
    tried when something was just closed, else at most once a minute.
    """
    return _send_all(settings, patient=True)


def synchronise(settings: Settings, *, everything: bool = False) -> Synchronisation:
    """Send what is waiting, now; what another process is sending is waited for.

    Args:
        settings: which MLflow.
        everything: send it also what was recorded for another one.
    """
    return _send_all(settings, patient=False, everything=everything)


def _send_all(settings: Settings, *, patient: bool, everything: bool = False) -> Synchronisation:
    sent = waiting = 0
    elsewhere: Counter[str] = Counter()
    sender = None
    trouble = ""
    for journal in journals(settings):
        if not journal.take_over(0.0 if patient else _patience_with(journal)):
            continue
        try:
            if not journal.take_sending(_LEAVING if patient else _SENDING):
                if journal.readable:  # else it was just sent
                    waiting, trouble = waiting + 1, "another process is sending it"
                continue
            if not journal.readable:
                waiting, trouble = waiting + 1, f"{journal.folder} is damaged: move it away"
                continue
            closed = _close(journal)
            if not everything and not journal.meant_for(settings):
                elsewhere[str(journal.header["mlflow"])] += 1
                continue
            due = closed or not patient or time.time() - journal.attempted > _RETRY_AFTER
            if due and not (sender and sender.unreachable):
                if sender is None:
                    from registry.tracking.sender import Sender

                    sender = Sender(settings)
                if sender.send(journal):
                    journal.discard()
                    sent += 1
                    continue
                trouble = sender.trouble
                journal.note_attempt()
            waiting += 1
        finally:
            journal.release()
    return Synchronisation(sent, waiting, trouble, dict(elsewhere))


def _close(journal: Journal) -> bool:
    operations = [op["op"] for op in journal.operations()]
    if "end" in operations:
        return False
    if journal.header["kind"] == PUBLICATION:
        # What it would have announced may not be there.
        journal.append("end", status=KILLED)
        return True
    for path in journal.header.get("scratch", []):
        remove_tree(Path(path))
    journal.append("tags", values={"qreg.error": "the process was killed"})
    journal.append("end", status=KILLED)
    return True


def _patience_with(journal: Journal) -> float:
    """Seconds to wait for whoever has an activity: a run lasts for hours, its own sending not."""
    publication = journal.readable and journal.header["kind"] == PUBLICATION
    return _SENDING if publication else 0.0
