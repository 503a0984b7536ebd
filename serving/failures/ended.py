"""The error that a failed launch ends with: the root cause first, then the log's last lines."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterable, Sequence
from pathlib import Path

from registry.errors import ToolError
from serving.failures.cause import RootCause, root_cause
from serving.failures.known import KnownFailure
from serving.failures.log import Line, read_log

_SHOWN = 8  # last lines of the log
_WIDTH = 300  # characters of each
_ARGUMENTS = "non-default args"  # in it stands what the user gave, a key of the server's, too
_ROOM = 2**16  # bytes; with less on its disk a log cannot be whole
_KILLED = {
    signal.SIGKILL: (
        "something killed it, as Linux does when memory runs out",
        "`dmesg` or `journalctl -k` names whom Linux killed and why; otherwise somebody did.",
    ),
    signal.SIGTERM: ("somebody asked it to end", "Start it again."),
    signal.SIGILL: (
        "it met an instruction that this CPU does not have, or that Linux keeps from it",
        "Use a build of the engine for this CPU.",
    ),
    signal.SIGBUS: (
        "memory that it shares with other processes could not be had",
        "Give it more /dev/shm: --shm-size 16g for a container.",
    ),
}


def ended(
    engine: str,
    when: str,
    code: int,
    log: Path,
    known: Iterable[KnownFailure],
    *,
    serving: bool = False,
) -> ToolError:
    """The error for an engine that ended by itself.

    Args:
        engine: its name.
        when: it ended, `at start-up`.
        code: exit code; negative for the signal that killed it.
        log: of all its processes.
        known: failures that it may have.
        serving: whether it had served before, so that only the end of the log tells.
    """
    lines = read_log(log, recent=serving)
    cause = root_cause(lines, known, serving=serving)
    reason = f"exit code {code}" if code >= 0 else f"signal {-code}, {_signal_name(-code)}"
    if cause is None or not cause.remedy:
        # A signal from outside leaves no word in the log, where older errors may stand.
        cause = _of_the_disk(log) or _of_signal(code) or cause
    what = f": {cause.what}" if cause else ""
    return ToolError(
        f"{engine} ended {when} ({reason}){what}",
        remedy=_with_log(cause.remedy if cause else "", log),
        details=_details(cause, lines),
    )


def never_ready(
    engine: str, limit: float, stage: str, log: Path, known: Iterable[KnownFailure]
) -> ToolError:
    """The error for an engine that runs and does not get ready.

    Args:
        engine: its name.
        limit: seconds that it had.
        stage: the last step of the start that its log showed; empty where it showed none.
        log: of all its processes.
        known: failures that it may have.
    """
    lines = read_log(log)
    cause = root_cause(lines, known) or _of_the_disk(log)
    message = f"{engine} was not ready within {limit:.0f} seconds"
    if stage:
        message += f"; it was still at this step: {stage}"
    if cause:
        message += f"; its log shows an error: {cause.what}"
    remedy = cause.remedy if cause else ""
    return ToolError(
        message,
        remedy=_with_log(remedy or "Give it more time with --timeout .", log),
        details=_details(cause, lines),
    )


def _of_signal(code: int) -> RootCause | None:
    if code >= 0 or -code not in _KILLED:
        return None
    what, remedy = _KILLED[signal.Signals(-code)]
    return RootCause(what, remedy, (), "")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


def _of_the_disk(log: Path) -> RootCause | None:
    """Whether the log itself could not be written, so that it cannot say what happened."""
    try:
        free = shutil.disk_usage(log.parent).free
    except OSError:
        return None
    if free >= _ROOM:
        return None
    return RootCause(
        f"the disk of its log is full ({free} bytes are free in {log.parent})",
        "Free space there, or choose another data folder with QREG_DATA, and start again.",
        (),
        "",
    )


def _with_log(remedy: str, log: Path) -> str:
    whole = f"Its whole log is {log} ."
    return f"{remedy} {whole}" if remedy else whole


def _details(cause: RootCause | None, lines: Sequence[Line]) -> str:
    first = list(cause.lines) if cause else []
    if cause and cause.process and first:
        first[0] = f"({cause.process}) {first[0]}"
    lines = [line for line in lines if _ARGUMENTS not in line.text]
    told = [line for line in lines if line.may_fail] or list(lines)
    last = [line.text.rstrip()[:_WIDTH] for line in told[-_SHOWN:]]
    if first and last:
        return "\n".join([*first, "… and at its end:", *last])
    return "\n".join(first or last)
