"""What telling MLflow of a quantization costs it.

    python -m benchmarks.tracking [GIB] [ROUNDS]

A model of GIB (default 10) in bfloat16 is generated, 2 · GIB on disk, and removed at the end.
LLM-Compressor quantizes it as users have it done, `qreg quantize --recipe w8a8-dynamic`, ROUNDS
(default 3) times with the embedded MLflow and as often with the journal only, in turn. Counted are
the seconds that qreg waits for its tracking, which may be 1 % of the tool's time, the CPU time of
the process that tells MLflow, and whether the tool itself takes longer. Needs the toolchains
llmcompressor, and modelslim for a tokenizer.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil

from benchmarks.quality import write_checkpoints
from registry.checkpoint import open_checkpoint
from registry.config import load
from registry.tracking import run as tracking
from registry.tracking.client import connect
from registry.tracking.messenger import Messenger
from tests.quantized import float_model

SHARE = 0.01  # of the tool's time
WITH, WITHOUT = "with MLflow", "journal only"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


@dataclass(frozen=True)
class Cost:
    """One run: seconds of all, of the tool, waited for tracking; CPU seconds of the messenger."""

    total: float
    tool: float
    waited: float
    beside: float


def main() -> int:
    size = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    settings = load()
    with tempfile.TemporaryDirectory(prefix="qreg-bench-", dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        with get_context("spawn").Pool(1) as pool:
            pool.apply(write_checkpoints, (folder, int(size * 2**30)))
        shutil.rmtree(folder / "slim")
        _index(folder / "base")
        for file in TOKENIZER:
            with suppress(FileNotFoundError):
                shutil.copyfile(float_model("dense", settings) / file, folder / "base" / file)
        environment = {**os.environ, "QREG_TOOLCHAINS": str(settings.toolchains)}
        environment.pop("MLFLOW_TRACKING_URI", None)
        connect(
            load({"QREG_DATA": str(folder / WITH)})
        )  # makes the database, as most runs find one
        found: dict[str, list[Cost]] = {WITH: [], WITHOUT: []}
        for number in range(rounds):
            # Neither is always the one that finds the files in memory.
            for way in (WITH, WITHOUT) if number % 2 == 0 else (WITHOUT, WITH):
                found[way].append(_run(folder, way, environment))
                print(f"{way}: {found[way][-1]}", flush=True)
    return _report(found)


def _index(folder: Path) -> None:
    """What transformers looks for where there is more than one shard."""
    tensors = open_checkpoint(folder).tensors.values()
    document = {"metadata": {}, "weight_map": {t.name: t.shard for t in tensors}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(document))


def _report(found: dict[str, list[Cost]]) -> int:
    def median(way: str, of: Callable[[Cost], float]) -> float:
        return statistics.median(of(cost) for cost in found[way])

    print(
        f"\n{'medians, in seconds':<20} {'whole':>8} {'tool':>8} {'waited':>8} {'CPU beside':>11}"
    )
    for way in (WITH, WITHOUT):
        print(
            f"{way:<21} "
            f"{median(way, lambda c: c.total):10.2f} {median(way, lambda c: c.tool):10.2f} "
            f"{median(way, lambda c: c.waited):10.3f} {median(way, lambda c: c.beside):10.2f}"
        )
    tool, waited = median(WITHOUT, lambda c: c.tool), median(WITH, lambda c: c.waited)
    alone = [cost.tool for cost in found[WITHOUT]]
    spread = (max(alone) - min(alone)) / tool
    slower = median(WITH, lambda c: c.tool) / tool - 1
    print(
        f"\nwaited {waited / tool:.2%} of the tool's time (at most {SHARE:.0%}): "
        f"{waited:.2f} s a run, whatever the model's size; the tool takes {slower:+.2%} "
        f"beside it, where its own runs lie {spread:.2%} apart"
    )
    return 0 if waited <= SHARE * tool and slower <= max(SHARE, spread) else 1


def _run(folder: Path, way: str, environment: dict[str, str]) -> Cost:
    output, report = folder / "output", folder / "report.json"
    command = [sys.executable, "-c", _PROGRAM, way, str(report), "quantize", str(folder / "base")]
    command += ["--name", "bench/tracking", "--output", str(output), "--no-evaluate", "--json"]
    data = {"QREG_DATA": str(folder / way), "QREG_CACHE": str(folder / "cache")}
    began = time.perf_counter()
    done = subprocess.run(
        command, env={**environment, **data}, capture_output=True, text=True, check=False
    )
    total = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    tool = json.loads((output / "qreg.json").read_text())["provenance"]["seconds"]
    shutil.rmtree(output)
    return Cost(total, tool, **json.loads(report.read_text()))


_PROGRAM = "from benchmarks.tracking import measured; measured()"


def measured() -> None:
    """`qreg …`, with its tracking looked at; arguments: how to track, where to report, the rest."""
    way, report, *arguments = sys.argv[1:]
    if way == WITHOUT:
        vars(tracking)["Messenger"] = _Nobody
    spent = {"waited": 0.0, "beside": 0.0}

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*given: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return method(*given, **named)
            finally:
                spent["waited"] += time.perf_counter() - began

        return timed

    run = tracking.TrackedRun
    for name in ("__init__", "_add", "end"):
        setattr(run, name, counted(getattr(run, name)))
    run.run_id = property(counted(vars(run)["run_id"].fget))
    start = Messenger.__init__

    def watched(self: Messenger, *given: Any) -> None:
        start(self, *given)
        assert self._process is not None
        threading.Thread(target=_watch, args=(self._process.pid, spent), daemon=True).start()

    Messenger.__init__ = watched
    sys.argv = ["qreg", *arguments]
    from qreg.cli import main as qreg

    try:
        qreg()
    finally:
        Path(report).write_text(json.dumps(spent))


def _watch(pid: int, spent: dict[str, float]) -> None:
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        while process.status() != psutil.STATUS_ZOMBIE:
            times = process.cpu_times()
            spent["beside"] = times.user + times.system
            time.sleep(0.05)


class _Nobody:
    """In place of a messenger: the journal is written, and nobody is told."""

    run_id, trouble, delivered, alive = None, "", True, True

    def __init__(self, folder: Path, settings: object) -> None:
        self._folder = folder

    def nudge(self) -> None: ...

    def refused(self) -> list[str]:
        return []

    def wait_for_run(self, seconds: float) -> None: ...

    def finish(self, seconds: float) -> None:
        shutil.rmtree(self._folder)


if __name__ == "__main__":
    sys.exit(main())
