"""How long commands take until they answer, against the peers that users would type instead.

    python -m benchmarks.startup

Medians of ten warm runs, in milliseconds; of a release's table only what reading it takes. Peers:
`python -c "import click"`, the floor of any command made with click, and `mlflow --version`, the
command line that users of MLflow alone have.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.checkpoints import write_quantized

RUNS = 10
LIMITS = {"qreg --help": 150, "qreg list": 300, "qreg plan": 400, "a release's table": 60}  # ms
_TABLE = (
    "import time; start = time.perf_counter()\n"
    "from serving.releases import latest; release = latest()\n"
    "release.options, release.additional_config, release.environment\n"
    "print(time.perf_counter() - start)"
)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="qreg-bench-") as folder:
        environment = {
            **os.environ,
            "QREG_DATA": f"{folder}/data",
            "QREG_CACHE": f"{folder}/cache",
        }
        model = write_quantized(Path(folder, "model"))
        qreg = [sys.executable, "-m", "qreg"]
        for name in ("a", "b", "c"):
            publish = [*qreg, "publish", str(model), "--name", f"bench/{name}", "--quiet"]
            subprocess.run(publish, env=environment, check=True)
        commands = {
            "python -c 'import click'": [sys.executable, "-c", "import click"],
            "mlflow --version": [sys.executable, "-m", "mlflow", "--version"],
            "qreg --help": [*qreg, "--help"],
            "qreg list": [*qreg, "list"],
            "qreg plan": [*qreg, "plan", "bench/a"],
        }
        medians = {name: _median(argv, environment) for name, argv in commands.items()}
    medians["a release's table"] = _median_told([sys.executable, "-c", _TABLE])
    floor = medians["python -c 'import click'"]
    print(f"{'command':<26} {'median':>9} {'limit':>9} {'× click':>8}")
    slow = 0
    for name, value in medians.items():
        limit = LIMITS.get(name)
        slow += limit is not None and value > limit
        shown = f"{limit} ms" if limit else ""
        print(f"{name:<26} {value:6.0f} ms {shown:>9} {value / floor:8.1f}")
    return 1 if slow else 0


def _median(argv: list[str], environment: dict[str, str]) -> float:
    times = []
    for run in range(RUNS + 1):
        began = time.perf_counter()
        subprocess.run(argv, env=environment, check=True, stdout=subprocess.DEVNULL)
        if run:  # the first one warms the caches
            times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def _median_told(argv: list[str]) -> float:
    """Of the seconds that a command prints, in milliseconds."""
    told = [
        subprocess.run(argv, check=True, capture_output=True, text=True).stdout
        for _ in range(RUNS + 1)
    ]
    return statistics.median(1000 * float(seconds) for seconds in told[1:])


if __name__ == "__main__":
    sys.exit(main())
