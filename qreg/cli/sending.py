"""Sending what waits for MLflow beside a command: loading MLflow takes seconds."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress


def send_later() -> None:
    """Let a process of its own send what waits for MLflow.

    It is no child of this one, so that a server is not left with it. If it cannot be started, the
    next command sends.
    """
    nowhere = subprocess.DEVNULL
    with suppress(OSError):
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "sh", sys.executable, "-m", "qreg", "sync", "--quiet"],
            stdin=nowhere,
            stdout=nowhere,
            stderr=nowhere,
            start_new_session=True,
            check=False,
        )
