"""Planning a launch of a model of a terabyte, here and over HTTP, against reading all its metadata.

    python -m benchmarks.planning [MODEL] [SCHEME]

The model is a twin: true names and shapes, holes in place of the weights. Commands are started as
users start them; medians of five runs. The peer is `qreg inspect`, which reads every header.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.command import Run, run_command
from tests.hub import hub
from tests.twins import write_twin

RUNS = 5
LIMITS = {"seconds here": 2.0, "seconds over HTTP": 5.0, "MB of memory": 400, "MiB sent": 16}


def main() -> int:
    model, scheme = sys.argv[1:3] if len(sys.argv) > 2 else ("Kimi-K2-Instruct", "W8A8")
    name = f"bench/{model}-{scheme}"
    with tempfile.TemporaryDirectory(prefix="qreg-bench-") as folder:
        twin = write_twin(Path(folder, name), model, scheme)
        environment = {**os.environ, "QREG_DATA": f"{folder}/data", "QREG_CACHE": f"{folder}/cache"}
        with hub(Path(folder)) as state:
            environment["HF_ENDPOINT"] = state.url
            launch = ["--hardware", "A3", "--nodes", "2", "--json"]
            commands = {
                "qreg plan, here": ["plan", str(twin), *launch],
                "qreg plan, over HTTP": ["plan", f"hf://{name}", *launch],
                "qreg inspect, over HTTP": ["inspect", f"hf://{name}", "--json"],
            }
            runs: dict[str, list[Run]] = {what: [] for what in commands}
            sent: dict[str, int] = {}
            for _ in range(RUNS):
                for what, words in commands.items():
                    before = state.sent
                    runs[what].append(
                        run_command([sys.executable, "-m", "qreg", *words], environment)
                    )
                    sent[what] = state.sent - before
    return _report(runs, sent)


def _report(runs: dict[str, list[Run]], sent: dict[str, int]) -> int:
    medians = {what: statistics.median(r.seconds for r in found) for what, found in runs.items()}
    peer = medians["qreg inspect, over HTTP"]
    print(f"{'':<26} {'median':>8} {'memory':>8} {'sent':>10} {'× inspect':>9}")
    for what, found in runs.items():
        memory = max(run.memory for run in found) / 1e6
        print(
            f"{what:<26} {medians[what]:6.2f} s {memory:5.0f} MB {sent[what] / 2**20:6.1f} MiB "
            f"{peer / medians[what]:9.2f}"
        )
    figures = {
        "seconds here": medians["qreg plan, here"],
        "seconds over HTTP": medians["qreg plan, over HTTP"],
        "MB of memory": max(r.memory for w, f in runs.items() if "plan" in w for r in f) / 1e6,
        "MiB sent": sent["qreg plan, over HTTP"] / 2**20,
    }
    over = [f"{k}: {v:.2f} of {LIMITS[k]}" for k, v in figures.items() if v > LIMITS[k]]
    print("\n" + ("over the limit: " + "; ".join(over) if over else "all within their limits"))
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
