"""A process beside the work that tells MLflow of it, so that the work never waits for that.

Loading MLflow takes seconds of CPU and hundreds of MB, and a server may answer slowly or not at
all. So a tracked run has a messenger of its own: it follows the journal (`delivery`) at a
lower priority, and what it has to say comes back as lines of JSON.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from registry.config import Settings

# The child looks for modules where this process does, wherever it was started.
_PROGRAM = (
    "import sys; sys.path[:] = {path!r}; "
    "from registry.tracking.delivery import deliver; deliver({folder!r})"
)
_LINES = 65536  # bytes read at once


class Messenger:
    """Starts the process, nudges it, and hears what it says; never raises because of it.

    Attributes:
        run_id: MLflow's id of the run, once MLflow has it.
        trouble: why MLflow does not take it, in short; empty while it does.
        delivered: whether MLflow has all of it, to the end.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        """Start it.

        Args:
            folder: the journal's.
            settings: which MLflow; handed over in the environment, as an address may hold a
                password.
        """
        self.run_id: str | None = None
        self.trouble = ""
        self.delivered = False
        self._refused: list[str] = []
        self._rest = b""
        self._process: subprocess.Popen[bytes] | None = None
        program = _PROGRAM.format(path=sys.path, folder=str(folder))
        environment = {
            "QREG_DATA": str(settings.data),
            "MLFLOW_TRACKING_URI": settings.tracking_uri,
            "MLFLOW_REGISTRY_URI": settings.registry_uri,
        }
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **environment},
                # Ctrl-C in a terminal is for the work; what is on record is sent all the same.
                start_new_session=True,
            )
        except OSError as error:
            self.trouble = f"no process can be started: {error.strerror}"
            return
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)

    @property
    def alive(self) -> bool:
        """Whether it still follows the journal."""
        return self._process is not None and self._process.poll() is None

    def nudge(self) -> None:
        """Say that the journal has grown."""
        if self._process is not None and self._process.stdin is not None:
            # A full pipe has nudges enough, and a broken one is told by `alive`.
            with suppress(OSError):
                os.write(self._process.stdin.fileno(), b"\n")

    def refused(self) -> list[str]:
        """What MLflow refused for good since the last call."""
        self._hear(0)
        found, self._refused = self._refused, []
        return found

    def wait_for_run(self, seconds: float) -> str | None:
        """MLflow's id of the run; None where it does not come in time, or MLflow is away."""
        deadline = time.monotonic() + seconds
        self._hear(0)
        while not self.run_id and not self.trouble and self._process is not None:
            left = deadline - time.monotonic()
            if left <= 0 or not self._hear(left):
                break
        return self.run_id

    def finish(self, seconds: float) -> None:
        """Let it send what is left and end; after that time it goes on without being waited for."""
        process = self._process
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        deadline = time.monotonic() + seconds
        try:
            while (left := deadline - time.monotonic()) > 0 and self._hear(left):
                pass
            if left > 0:
                self._settle(process.wait(max(left, 1)))
        except subprocess.TimeoutExpired:
            pass
        finally:
            process.stdout.close()
            if process.poll() is None:
                process.returncode = 0  # it is not waited for, and that is no mistake
            self._process = None

    def _settle(self, code: int) -> None:
        if not self.delivered and not self.trouble:
            self.trouble = f"the process that tells it ended with exit code {code}"

    def _hear(self, seconds: float) -> bool:
        """Take in what it said, waiting for something; False if it will say no more."""
        if self._process is None or self._process.stdout is None:
            return False
        stream = self._process.stdout
        if stream.closed:
            return False
        if not select.select([stream], [], [], seconds)[0]:
            return True
        new = os.read(stream.fileno(), _LINES)
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        return bool(new)

    def _take(self, said: dict[str, Any]) -> None:
        self.run_id = said.get("run_id", self.run_id)
        self.trouble = said.get("trouble", self.trouble)
        self.delivered = said.get("delivered", self.delivered)
        self._refused += said.get("refused", [])
