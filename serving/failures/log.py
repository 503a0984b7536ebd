"""Reading an engine's log: lines of many processes, each with its level, and the errors in them.

An engine's processes write one log, interleaved, and each may repeat what another said. What ended
the engine is nearly always the first error in it, and stands up to hundreds of lines above the last
ones. Formats: vLLM 0.11 to 0.32 (`vllm/logger.py`: `(Worker_TP0 pid=1) ERROR 09-23 23:05:10
[file.py:1] text`, the prefix repeated on each line of a traceback), glog's of torch
(`[rank0]:[E928 10:47:13 …]`), torch_npu's and CANN's (`[ERROR] 2026-09-23-23:05:10 (PID:1, …)`),
Python's own tracebacks and warnings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_LONGEST = 4000  # characters of a line that are looked at
_RECENT = 8 * 2**20  # bytes of a log's end that are read where only its end matters
_LINES = 20_000  # of them
_READY = "Application startup complete"  # uvicorn
_BURST = 300  # seconds before the last line in which what ended a server was told

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PROCESS = re.compile(r"\((?P<name>[^()]*pid=\d+[^()]*)\)\s?")
_RANK = re.compile(r"\[(?P<name>rank\d+)\]:\s?")
_LEVEL = re.compile(
    r"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL):?\s+"
    r"(?:(?P<month>\d\d)-(?P<day>\d\d) (?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
    r"(?:\.\d+)?\s)?(?:\[[^\]]*\]\s?)?"
)
_GLOG = re.compile(r"\[?(?P<letter>[DIWEF])\d{3,4} \d\d:\d\d:\d\d[^\]]*?\]\s?")
_BRACKETS = re.compile(r"\[(?P<level>DEBUG|INFO|WARNING|ERROR)\]\s+")
_PYTHON_WARNING = re.compile(r"\S+:\d+: (?:\w+\.)*\w*Warning: |\s*warnings\.warn\(")
_LETTERS = {"D": "DEBUG", "I": "INFO", "W": "WARNING", "E": "ERROR", "F": "CRITICAL"}
_HARMLESS = ("DEBUG", "INFO", "WARNING")
# The last line of a traceback: a class, and what it says.
_EXCEPTION = re.compile(
    r"(?P<type>(?:[A-Za-z_]\w*\.)*(?:Exception|[A-Z]\w*"
    r"(?:Error|Exception|Exit|Expired|Failure|Interrupt|Empty|Timeout)))(?:: ?(?P<text>.*))?$"
)
# What no exception reports: argparse, the interpreter, C++.
_OTHER = re.compile(
    r"[\w./-]+\.?\w*: error: |Fatal Python error: |terminate called after throwing|"
    r"Segmentation fault|Illegal instruction|Bus error|Aborted|Killed$"
)
# They say that something else has failed before.
_FOLLOWS = re.compile(
    r"[Ss]ee (?:root cause|stack trace|the stack trace)|EngineDeadError|EngineCore failed to start|"
    r"EngineCore encountered|failed to start\.|failed\.$|Failed core proc|died unexpectedly|"
    r"BrokenPipeError|ConnectionResetError|ChildProcessError|SystemExit|KeyboardInterrupt|"
    r"CancelledError|ProcessLookupError|[Cc]onnection (?:closed|reset) by peer|cancelled$|"
    r"leaked|shutting down|resource_tracker|Shutdown requested"
)
# A look-up that failed is often caught and said better by the error that follows from it.
_LOOKUPS = ("KeyError", "AttributeError", "StopIteration", "IndexError", "ModuleNotFoundError")
_HANDLING = "During handling of the above exception"


@dataclass(frozen=True)
class Line:
    """A line of a log.

    Attributes:
        process: who wrote it, `Worker_TP0 pid=1228`; empty where it does not say.
        level: `ERROR`, `INFO`, …; empty for lines without one, as of a bare traceback.
        text: what it says, without process, level and time.
        clock: when, in seconds of a year whose months have 31 days; None where it does not say.
    """

    process: str
    level: str
    text: str
    clock: int | None = None

    @property
    def may_fail(self) -> bool:
        """Whether it can report a failure: what is said as a warning or below does not."""
        return self.level not in _HARMLESS

    @property
    def is_source(self) -> bool:
        """Whether it shows program text, as tracebacks do: what may fail, not what did."""
        return self.text.startswith(("    ", '  File "'))


@dataclass(frozen=True)
class LoggedError:
    """An error in a log: its line, and what the same process said right after it.

    `raised` is not set for a message at level ERROR that no exception belongs to.
    """

    position: int
    process: str
    lines: tuple[str, ...]
    follows: bool
    raised: bool = True

    @property
    def text(self) -> str:
        """Its first line."""
        return self.lines[0]


def read_log(path: Path, *, recent: bool = False) -> list[Line]:
    """The lines of a log.

    Args:
        path: of the log; one that is not there has no lines.
        recent: whether only its end matters, as that of a server which ran for days.
    """
    try:
        with path.open("rb") as file:
            if recent:
                file.seek(max(0, path.stat().st_size - _RECENT))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    lines = list(parse(text.replace("\r", "\n").split("\n")))
    return _burst(_since_ready(lines[-_LINES:])) if recent else lines


def _since_ready(lines: list[Line]) -> list[Line]:
    """What was said after the server was ready: whatever came before, it lived on with."""
    ready = [at for at, line in enumerate(lines) if _READY in line.text]
    return lines[ready[-1] + 1 :] if ready else lines


def _burst(lines: list[Line]) -> list[Line]:
    """The last minutes of a log; an error of yesterday's request did not end the server today."""
    clocks = [(at, line.clock) for at, line in enumerate(lines) if line.clock is not None]
    if not clocks:
        return lines
    _, last = clocks[-1]
    old = [at for at, clock in clocks if not 0 <= last - clock <= _BURST]
    return lines[old[-1] + 1 :] if old else lines


def parse(lines: Iterable[str]) -> Iterator[Line]:
    """Take process and level off each line; empty lines are left out."""
    of_warning = False
    for raw in lines:
        text = _COLOUR.sub("", raw[:_LONGEST]).rstrip()
        if not text.strip():
            continue
        process = ""
        for sign in (_PROCESS, _RANK):
            if found := sign.match(text):
                process, text = found["name"], text[found.end() :]
        level, clock, text = _level(text)
        if not level and (_PYTHON_WARNING.match(text) or (of_warning and text.startswith("  "))):
            of_warning = True  # the source line that Python shows below a warning is part of it
            level = "WARNING"
        else:
            of_warning = False
        if text.strip():
            yield Line(process, level, text, clock)


def _level(text: str) -> tuple[str, int | None, str]:
    if found := _LEVEL.match(text):
        return found["level"], _clock(found), text[found.end() :]
    if found := _BRACKETS.match(text):
        return found["level"], None, text[found.end() :]
    if found := _GLOG.match(text):
        return _LETTERS[found["letter"]], None, text[found.end() :]
    return "", None, text


def _clock(found: re.Match[str]) -> int | None:
    if not found["month"]:
        return None
    days = int(found["month"]) * 31 + int(found["day"])
    time = int(found["hour"]) * 3600 + int(found["minute"]) * 60 + int(found["second"])
    return days * 86400 + time


def errors(lines: list[Line]) -> Iterator[LoggedError]:
    """The errors of a log, in its order, each with the lines that belong to it."""
    for position, line in enumerate(lines):
        if not line.may_fail or line.text.startswith((" ", "Traceback")):
            continue
        exception = _EXCEPTION.match(line.text)
        if exception is None and line.level not in ("ERROR", "CRITICAL"):
            if not _OTHER.match(line.text):
                continue
        elif exception is None and not _stands_alone(lines, position):
            continue
        yield LoggedError(
            position,
            line.process,
            (line.text.strip(), *_continued(lines, position)),
            bool(_FOLLOWS.search(line.text)) or _said_better(lines, position, exception),
            exception is not None or bool(_OTHER.match(line.text)),
        )


def _stands_alone(lines: list[Line], position: int) -> bool:
    """Whether a message at level ERROR has no traceback, which would end with what it is about."""
    line = lines[position]
    following = _of_process(lines, position, 1)
    return not (following and following[0].text.startswith("Traceback")) and not _in_traceback(line)


def _in_traceback(line: Line) -> bool:
    return line.text.startswith((_HANDLING, "The above exception was the direct cause"))


def _continued(lines: list[Line], position: int) -> Iterator[str]:
    """Further lines of a message, as pydantic's, which says on the second what is wrong."""
    for line in _of_process(lines, position, 4):
        own = line.level == lines[position].level and not _EXCEPTION.match(line.text)
        if not own or line.text.startswith("Traceback") or _in_traceback(line):
            return
        if not line.text.startswith(" "):
            return
        yield line.text.strip()


def _said_better(lines: list[Line], position: int, found: re.Match[str] | None) -> bool:
    if found is None or found["type"].rpartition(".")[2] not in _LOOKUPS:
        return False
    return any(_HANDLING in line.text for line in _of_process(lines, position, 2))


def _of_process(lines: list[Line], position: int, number: int) -> list[Line]:
    """The next lines of the process that wrote a line, which others may have come between."""
    process = lines[position].process
    found: list[Line] = []
    for line in lines[position + 1 : position + 400]:
        if line.process == process:
            found.append(line)
            if len(found) == number:
                break
    return found
