"""How long a name takes that MLflow's model registry knows, among 2,000 others.

    python -m benchmarks.lookup [MODELS]

An artifact is published, so that MLflow's own code makes the database and its entry; MODELS
(default 2,000) others are inserted into MLflow's tables. Medians of ten warm runs, in milliseconds:
of the lookup within a process, and of all that a process does that imports qreg and looks up. The
peer is MLflow's client, asked for the same version in a process of its own.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from registry.config import load
from registry.transfer.publishing import publish
from tests.checkpoints import write_quantized
from tests.registry.tracking.test_entries import fill

RUNS = 10
LIMIT = 400  # ms, of a whole process
OURS = """
import time
began = time.perf_counter()
from registry.config import load
from registry.resolve import resolve
looking = time.perf_counter()
resolve("models:/bench--m@current", load())
ended = time.perf_counter()
print(ended - looking, ended - began)
"""
THEIRS = """
import sys, time
began = time.perf_counter()
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1], sys.argv[1])
looking = time.perf_counter()
client.get_model_version_by_alias("bench--m", "current")
ended = time.perf_counter()
print(ended - looking, ended - began)
"""


def main() -> int:
    models = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory(prefix="qreg-bench-") as name:
        environment = {**os.environ, "QREG_DATA": f"{name}/data", "QREG_CACHE": f"{name}/cache"}
        environment.pop("MLFLOW_TRACKING_URI", None)
        settings = replace(load(environment), toolchains=Path(name, "toolchains"))
        publish(write_quantized(Path(name, "model")), settings, name="bench/m")
        fill(settings.mlflow / "mlflow.db", models)
        ours = _times(OURS, [], environment, RUNS)
        theirs = _times(THEIRS, [settings.registry_uri], environment, 3)
    print(f"{models:,} models: a lookup {ours[0]:.0f} ms, with its process {ours[1]:.0f} ms")
    print(f"MLflow's client: {theirs[0]:.0f} ms, with its process {theirs[1]:.0f} ms")
    print(f"limit {LIMIT} ms: {'kept' if ours[1] < LIMIT else 'MISSED'}")
    return 0 if ours[1] < LIMIT else 1


def _times(code: str, arguments: list[str], environment: dict[str, str], runs: int) -> list[float]:
    """Medians of the two times that a program prints, in milliseconds, after a first warm one."""
    rows = []
    for _ in range(runs + 1):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        rows.append([1000 * float(word) for word in done.stdout.split()[-2:]])
    return [statistics.median(column) for column in zip(*rows[1:], strict=True)]


if __name__ == "__main__":
    sys.exit(main())
