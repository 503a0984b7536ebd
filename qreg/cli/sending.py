"""Sending what waits for MLflow beside a command: loading MLflow takes seconds."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress


def send_later() -> None:
    """Let a process of its own send what waits for MLflow.

    If it cannot, the next command does.
    """
    command = [sys.executable, "-m", "qreg", "sync", "--quiet"]
    nowhere = subprocess.DEVNULL
    with suppress(OSError):
        process = subprocess.Popen(
            command, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True
        )
        process.returncode = 0  # it is not waited for, and that is no mistake
