"""Running a quantizer's command: its progress, its warnings, and its failure in words."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace
from pathlib import Path

from quantizers.consent import needs_code
from quantizers.interface import Command, Job
from quantizers.request import Prepared
from registry.checkpoint.remote_code import untrusted_error
from registry.errors import ToolError
from registry.progress import Note, Observer, Progress
from toolchains import Finished, run_tool
from toolchains.interpreter import python_environment

_OUT_OF_MEMORY = "The system killed it, most likely for memory: use a machine with more."


def run_command(
    prepared: Prepared, command: Command, job: Job, log: Path, observe: Observer
) -> tuple[Finished, list[str]]:
    """Run the tool; returns how it ended, and its warnings that a user should know.

    Raises:
        NotAllowedError: the model cannot be loaded without its own Python code.
        ToolError: it failed, with what is known of that failure.
    """
    warned: list[str] = []
    looked, written = 0.0, 0

    def on_line(line: str) -> None:
        nonlocal looked, written
        warning = prepared.quantizer.warning(line)
        if warning and warning not in warned:
            warned.append(warning)
            observe(Note(warning, warning=True))
        progress = prepared.quantizer.read_line(line)
        if progress is None:
            return
        if time.monotonic() - looked > 1:
            looked, written = time.monotonic(), _bytes_below(job.output)
        observe(replace(progress, written=written or None))

    observe(Progress(f"starting {prepared.quantizer.name} {prepared.toolchain.version}"))
    given = [name for name in command.secrets if name in os.environ]
    if given:
        text = f"{prepared.quantizer.name} gets {' and '.join(given)} of your environment"
        observe(Note(f"{text}: its calibration set is fetched from a hub"))
    env = python_environment(prepared.toolchain, whole=command.own_modules, observe=observe)
    finished = run_tool(
        command.argv,
        log=log,
        env={**env, **command.env},
        cwd=command.folder or job.work,
        on_line=on_line,
        secrets=command.secrets,
    )
    text = log.read_text(errors="replace")
    if finished.code == 0 and prepared.quantizer.succeeded(text):
        return finished, warned
    if not job.options.trust_remote_code and needs_code(text):
        raise untrusted_error(prepared.source, prepared.base)
    raise _failure(prepared, finished, text, log)


def _failure(prepared: Prepared, finished: Finished, text: str, log: Path) -> ToolError:
    """A tool's failure in words: what is known of it, else the end of its log."""
    tail = "\n".join([line for line in text.splitlines() if "\r" not in line][-15:])
    if finished.code == 0:
        reason = "exit code 0, but its log does not say that it was done"
    elif finished.code < 0:
        reason = f"signal {-finished.code}"
    else:
        reason = f"exit code {finished.code}"
    message = f"{prepared.quantizer.name} failed ({reason})"
    where = f"The whole log is {log} ."
    if finished.code == -9:
        return ToolError(message, remedy=f"{_OUT_OF_MEMORY} {where}", details=tail)
    known = prepared.quantizer.explain(text)
    if known is None:
        return ToolError(message, remedy=where, details=tail)
    return ToolError(f"{message}: {known.what}", remedy=f"{known.remedy} {where}", details=tail)


def _bytes_below(folder: Path) -> int:
    """What a tool has written so far; files that vanish meanwhile do not count."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total
