"""Processes that can be killed: forked from one that has imported all, so that they begin soon."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.actions import Job, act

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.faults.preloaded"])
_LONGEST = 90.0  # seconds; longer is a hang
_numbers = itertools.count()


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        code: of its exit; -9 for one that was killed, None for one that hung.
        out: that it printed.
        err: that it told on stderr.
        seconds: that it ran.
    """

    code: int | None
    out: str
    err: str
    seconds: float

    @property
    def said(self) -> str:
        """For a message: the code and the end of the text."""
        return f"exit {self.code}: {(self.err + self.out)[-700:].strip()!r}"

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Child:
    """A running process."""

    def __init__(self, job: Job) -> None:
        self._log = job.log
        # The annotation of the standard library's stubs knows no target without a result.
        self._process = _CONTEXT.Process(target=act, args=(job,), daemon=True)
        self._began = time.monotonic()
        self._process.start()

    def kill_after(self, seconds: float) -> Ended:
        """Let it run for a while, then SIGKILL it if it still does."""
        self._process.join(seconds)
        self._process.kill()
        return self.wait()

    def wait(self, longest: float = _LONGEST) -> Ended:
        """Until it ends."""
        self._process.join(longest)
        code = self._process.exitcode
        if code is None:
            self._process.kill()
            self._process.join()
        out, err = (
            path.read_text(errors="replace") if path.exists() else ""
            for path in (self._log, self._log.with_suffix(".err"))
        )
        self._process.close()
        return Ended(code, out, err, time.monotonic() - self._began)


class Sandbox:
    """A folder with a data folder, a cache and a home of its own, and children that live there."""

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        self.root, self._environment = root, dict(environment)
        for name in ("data", "cache", "home", "tmp", "logs"):
            (root / name).mkdir(parents=True, exist_ok=True)

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    def start(
        self,
        *arguments: object,
        env: Mapping[str, str] | None = None,
        limits: Mapping[str, float] | None = None,
        meddle: tuple[str, str] | None = None,
    ) -> Child:
        """Begin a command."""
        environment = {
            "HOME": str(self.root / "home"),
            "TMPDIR": str(self.root / "tmp"),
            "QREG_DATA": str(self.root / "data"),
            "QREG_CACHE": str(self.cache),
            "QREG_SOURCES": f"file://{self.root}/data/registry",
            "QREG_ATTEMPTS": "3",
            "QREG_STALL": "1",
            **self._environment,
            **(env or {}),
        }
        log = self.root / "logs" / f"{next(_numbers)}-{os.getpid()}.log"
        words = tuple(map(str, arguments))
        return Child(Job(words, environment, log, dict(limits or {}), meddle))

    def run(self, *arguments: object, **keywords: Any) -> Ended:
        """A command from its begin to its end."""
        return self.start(*arguments, **keywords).wait()
