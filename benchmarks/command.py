"""A command run as a user runs it, and what it took; for all benchmarks."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """One run of a command.

    Attributes:
        seconds: from its start to its end.
        processor: seconds of the processor.
        memory: bytes of peak memory; what the benchmark itself takes if that is more, as exec hands
            it on.
        out: what it wrote to standard output.
    """

    seconds: float
    processor: float
    memory: float
    out: str


def run_command(command: Sequence[object], environment: Mapping[str, str]) -> Run:
    """Run a command with an environment that is all of its own; ends the benchmark if it fails."""
    argv = list(map(str, command))
    began = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(argv, env=environment, stdout=out, stderr=subprocess.PIPE)
        assert process.stderr
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            told = errors.decode(errors="replace")[-3000:]
            raise SystemExit(f"{' '.join(argv)} failed:\n{told}")
        out.seek(0)
        processor = usage.ru_utime + usage.ru_stime
        return Run(seconds, processor, usage.ru_maxrss * 1024, out.read().decode())
