"""Asking a tool of the driver, which may be missing, hang, or say that it failed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from toolchains.environment import tool_environment

TIME_LIMIT = 5.0  # seconds
ABSENT, HUNG, FAILED = "absent", "hung", "failed"


@dataclass(frozen=True)
class Answer:
    """What a tool said: its output, or why there is none (`absent`, `hung`, `failed`)."""

    text: str
    problem: str = ""
    detail: str = ""


Ask = Callable[[tuple[str, ...]], Answer]


def ask(command: tuple[str, ...], *, limit: float = TIME_LIMIT) -> Answer:
    """Run a command with a time limit; never raises.

    A tool that waits for a dead driver does not heed SIGTERM, and its children keep the pipe
    open, so its whole process group is killed, and it is not waited for longer than a second.
    """
    program = shutil.which(command[0])
    if program is None:
        return Answer("", ABSENT)
    try:
        process = subprocess.Popen(
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=tool_environment(os.environ),
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return Answer("", FAILED, str(error))
    try:
        text, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        _kill(process)
        return Answer("", HUNG, f"no answer within {limit:g} seconds")
    if process.returncode != 0:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return Answer(text, FAILED, lines[0] if lines else f"exit code {process.returncode}")
    return Answer(text)


def _kill(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # it ended by itself in the meantime
    try:
        process.wait(timeout=1)
    except subprocess.TimeoutExpired:
        pass  # it hangs in the kernel, where no signal reaches it
    if process.stdout:
        process.stdout.close()
