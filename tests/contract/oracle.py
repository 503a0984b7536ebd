"""Asks the real code whether it takes a launch: `check(cases)`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.contract.environment import HERE, contract_python

DEVICES = ("A2", "A3", "310P", "950")


@dataclass(frozen=True)
class Case:
    """A launch to try.

    Attributes:
        folder: with config.json and what else is JSON; no weights are read.
        argv: the words after `vllm serve`; where no model is named, the folder is it.
        env: variables of the launch.
        device: the NPU that it is on: `A2`, `A3`, `310P` or `950`.
    """

    folder: str
    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    device: str = "A2"


@dataclass(frozen=True)
class Verdict:
    """What the real code said: the stage that refused and its error, both empty where none did."""

    ok: bool
    stage: str = ""
    error: str = ""


class Worker:
    """One process with the real libraries, for one kind of NPU."""

    def __init__(self, device: str, log: Path | None = None) -> None:
        python = contract_python()
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("VLLM_", "ASCEND_", "HCCL_", "PYTHON"))
        }
        env |= {
            "PYTHONPATH": str(HERE / "stubs"),
            "CONTRACT_DEVICE": device,
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_LOGGING_LEVEL": "WARNING",
            # Classes of models that were looked at once are remembered there.
            "VLLM_CACHE_ROOT": str(python.parent.parent / "vllm-cache"),
        }
        with ExitStack() as stack:
            output = stack.enter_context(log.open("a")) if log else subprocess.DEVNULL
            self._process = subprocess.Popen(
                [str(python), str(HERE / "worker.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=env,
                text=True,
                cwd=python.parent.parent,
            )
        self._read()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def check(self, case: Case) -> Verdict:
        """Try one launch."""
        question = {"folder": case.folder, "argv": case.argv, "env": case.env}
        return Verdict(**self._ask(question))

    def options(self) -> dict[str, Any]:
        """The options of the real parser."""
        return dict(self._ask({"describe": "parser"})["options"])

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"The contract worker ended with code {self._process.wait()}; give it a log."
            )
        return dict(json.loads(line))


def check(cases: Sequence[Case] | Iterable[Case], *, log: Path | None = None) -> list[Verdict]:
    """Try launches; a worker a kind of NPU, two at a time.

    Args:
        cases: launches; folders hold only JSON.
        log: takes what the libraries print, tracebacks of refusals among it.
    """
    wanted = list(cases)
    verdicts: dict[int, Verdict] = {}

    def ask(device: str) -> dict[int, Verdict]:
        mine = [(number, case) for number, case in enumerate(wanted) if case.device == device]
        if not mine:
            return {}
        with Worker(device, log) as worker:
            return {number: worker.check(case) for number, case in mine}

    with ThreadPoolExecutor(max_workers=2) as pool:
        for found in pool.map(ask, DEVICES):
            verdicts |= found
    unknown = [case.device for number, case in enumerate(wanted) if number not in verdicts]
    if unknown:
        raise ValueError(f"There is no device {unknown[0]!r}; known are {', '.join(DEVICES)}.")
    return [verdicts[number] for number in range(len(wanted))]
