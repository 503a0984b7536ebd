"""Starting a tool under its supervisor, following its log, stopping it with all its children."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from registry.files import remove_tree
from toolchains.environment import tool_environment

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_POLL = 0.1  # seconds between two looks at the log


@dataclass(frozen=True)
class Finished:
    """How a tool ended.

    Attributes:
        code: exit code; negative for the signal that killed it.
        peak_rss: resident memory of its largest process, in bytes.
        seconds: wall-clock time.
    """

    code: int
    peak_rss: int
    seconds: float


class Tool:
    """A running tool. Its output goes straight into `log`, whole, whatever happens to qreg."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        grace: float = 10.0,
        secrets: Sequence[str] = (),
    ) -> None:
        """Start it.

        Args:
            argv: the command; its standard input is empty.
            log: takes standard output and standard error, appended.
            env: added to this process's environment, of which no secrets pass.
            cwd: where it runs; some tools leave files there.
            grace: seconds between SIGTERM and SIGKILL when it is stopped.
            secrets: names of variables that it gets all the same, see `toolchains.environment`.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        self._offset = log.stat().st_size if log.exists() else 0
        self._rest = b""
        self._scratch = Path(tempfile.mkdtemp(prefix="qreg-tool-"))
        self._report = self._scratch / "report.json"
        self._started = time.monotonic()
        with log.open("ab") as output:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-I", str(_SUPERVISOR), str(self._report), str(grace), *argv],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env={**tool_environment(os.environ, secrets), **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def supervisor_pid(self) -> int:
        """The root of the process tree."""
        return self._supervisor.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._supervisor.poll() is None

    def lines(self) -> list[str]:
        """What the tool wrote since the last call; a carriage return ends a line, too."""
        with self.log.open("rb") as file:
            file.seek(self._offset)
            new = file.read()
        self._offset += len(new)
        pieces = (self._rest + new).replace(b"\r", b"\n").split(b"\n")
        self._rest = pieces.pop()
        return [piece.decode(errors="replace") for piece in pieces if piece.strip()]

    def ask_to_end(self) -> None:
        """Begin to end it and everything it started; returns at once. Any thread may call it."""
        assert self._supervisor.stdin is not None
        if not self._supervisor.stdin.closed:
            self._supervisor.stdin.close()

    def stop(self) -> Finished:
        """End it and everything it started; returns when all are gone."""
        self.ask_to_end()
        return self.wait()

    def wait(self) -> Finished:
        """Wait for its end."""
        code = self._supervisor.wait()
        seconds = time.monotonic() - self._started
        try:
            report = json.loads(self._report.read_text())
        except (OSError, ValueError):
            report = {}
        remove_tree(self._scratch)
        if self._supervisor.stdin is not None and not self._supervisor.stdin.closed:
            self._supervisor.stdin.close()
        return Finished(report.get("code", code or 1), report.get("peak_rss", 0), seconds)

    def tail(self, lines: int = 15) -> str:
        """The last lines of the log, for a message; progress bars are left out."""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - 65536))
            text = file.read().decode(errors="replace")
        kept = [line.rstrip() for line in text.split("\n") if line.strip() and "\r" not in line]
        return "\n".join(kept[-lines:])


@contextmanager
def started(
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    grace: float = 10.0,
    secrets: Sequence[str] = (),
) -> Iterator[Tool]:
    """A tool for the time of a block; whatever ends the block ends the tool's whole tree."""
    tool = Tool(argv, log=log, env=env, cwd=cwd, grace=grace, secrets=secrets)
    try:
        yield tool
    finally:
        with _undisturbed():
            tool.stop()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let no second Ctrl-C cut a clean-up short; it lasts no longer than the tool's grace."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)


def run_tool(
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    on_line: Callable[[str], None] = lambda line: None,
    grace: float = 10.0,
    secrets: Sequence[str] = (),
    until: float | None = None,
) -> Finished:
    """Run a tool to its end, handing each line of its output to `on_line` as it comes.

    Raises:
        TimeoutError: it still runs at `until`, of `time.monotonic`; it is ended then.
    """
    with started(argv, log=log, env=env, cwd=cwd, grace=grace, secrets=secrets) as tool:
        while tool.running:
            for line in tool.lines():
                on_line(line)
            if until is not None and time.monotonic() > until:
                raise TimeoutError
            time.sleep(_POLL)
        finished = tool.wait()
        for line in tool.lines():
            on_line(line)
        return finished
