"""Starts a server program in a process of its own, waits for its port, and ends it.

A program binds port 0 itself and tells which port it got, so that two servers that start at once
cannot be given the same one.
"""

from __future__ import annotations

import _thread
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_READY_WITHIN = 60.0  # seconds; on an idle machine it takes one or two
_STOPPED_WITHIN = 10.0  # seconds


@contextmanager
def launched(program: str, folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """Run the module `program` with `folder` as its argument until the block ends.

    Args:
        program: a module that calls `exit_with_parent` and then, when it listens, `announce`.
        folder: exists; gets the program's output as `output.log`.
        environment: added to this process's own.

    Yields:
        The URL at which it listens.

    Raises:
        RuntimeError: it ended, or did not announce itself in time; the message has its output.
    """
    log = folder / "output.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", program, str(folder)],
            # As a script it would have its own folder on the path, where swift.py hides swift.
            cwd=_ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        port = _wait(process, program, folder / "port", log)
        yield f"http://127.0.0.1:{port}"
    finally:
        _stop(process)


def announce(folder: Path, port: int) -> None:
    """Tell the process that launched this one where it listens."""
    whole = folder / "port.part"
    whole.write_text(str(port))
    whole.rename(folder / "port")


def exit_with_parent() -> None:
    """End this process when the one that launched it is gone, even if that was killed."""
    read = os.read  # before eventlet replaces it with one that does not block the thread

    def wait() -> None:
        read(0, 1)
        os._exit(0)

    _thread.start_new_thread(wait, ())


def _wait(process: subprocess.Popen[bytes], program: str, port: Path, log: Path) -> int:
    deadline = time.monotonic() + _READY_WITHIN
    while time.monotonic() < deadline:
        if port.exists():
            return int(port.read_text())
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise RuntimeError(
        f"{program} did not start (exit status {process.poll()}):\n{log.read_text()[-4000:]}"
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOPPED_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()
