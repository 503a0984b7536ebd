"""Closing what dead processes left open, and sending what MLflow could not take before."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from registry.config import Settings
from registry.tracking.journal import KILLED, RUN, Journal, journals
from registry.tracking.maker import Kinship
from registry.tracking.scratch import remove_scratch

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
        foreign: how many were made by another data folder, of which this one is a copy: neither
            closed nor sent.
        left: what dead processes left half made and what was not removed, as it may be another's.
    """

    sent: int
    waiting: int
    trouble: str = ""
    elsewhere: Mapping[str, int] = field(default_factory=dict)
    foreign: int = 0
    left: tuple[Path, ...] = ()


def recover(settings: Settings) -> Synchronisation:
    """Look after activities whose process is gone; nearly free when there are none.

    A run that was cut off ends KILLED and its half-made output is removed at once, unless it was
    another data folder's that was copied. Sending is
    tried when something was just closed, else at most once a minute.
    """
    return _send_all(settings, patient=True)


def synchronise(settings: Settings, *, everything: bool = False) -> Synchronisation:
    """Send what is waiting, now; what another process is sending is waited for.

    Args:
        settings: which MLflow.
        everything: send it also what was recorded for another one, and close and send what another
            data folder has recorded; files of that are not removed.
    """
    return _send_all(settings, patient=False, everything=everything)


def _send_all(settings: Settings, *, patient: bool, everything: bool = False) -> Synchronisation:
    sent = waiting = 0
    elsewhere: Counter[str] = Counter()
    foreign = 0
    left: list[Path] = []
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
            kinship = journal.kinship(settings)
            if kinship is Kinship.FOREIGN and not everything:
                foreign += 1
                continue
            closed = _close(journal)
            if closed:
                left += _clear(journal, kinship)
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
    return Synchronisation(sent, waiting, trouble, dict(elsewhere), foreign, tuple(left))


def _close(journal: Journal) -> bool:
    operations = [op["op"] for op in journal.operations()]
    if "end" in operations:
        return False
    if journal.header["kind"] != RUN:
        # What a publication would have announced may not be there; evidence was cut off.
        journal.append("end", status=KILLED)
        return True
    journal.append("tags", values={"qreg.error": "the process was killed"})
    journal.append("end", status=KILLED)
    return True


def _clear(journal: Journal, kinship: Kinship) -> list[Path]:
    """Remove what a dead process left half made; returns what is still there."""
    paths = [Path(path) for path in journal.header.get("scratch", ())]
    if kinship is Kinship.OURS:
        return remove_scratch(paths)
    return [path for path in paths if os.path.lexists(path)]


def _patience_with(journal: Journal) -> float:
    """Seconds to wait for whoever has an activity: a run lasts for hours, its own sending not."""
    short = journal.readable and journal.header["kind"] != RUN
    return _SENDING if short else 0.0
