"""Reading the metadata of a model of a terabyte: qreg here and over HTTP, against hf-mem.

    python -m benchmarks.metadata [MODEL] [SCHEME]

The model is a twin: true names and shapes, holes in place of the weights. Both tools are started as
users start them and ask the same server on loopback, in turn; medians of five runs. Exact is who
tells the bytes that the shards' headers really give. hf-mem does no more than that, so it is held
against the JSON document of `inspect`; people are shown the findings of lint, too.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.command import Run, run_command
from registry.lint import lint
from registry.source import LocalSource
from tests.twins import write_twin

RUNS = 5
LIMITS = {"seconds here": 3.0, "seconds over HTTP": 5.0, "MB of memory": 400, "MB read": 64}


class _Counting(LocalSource):
    """A folder that counts what is read of it."""

    bytes_read = 0

    def read(self, path: str, offset: int, length: int) -> bytes:
        content = super().read(path, offset, length)
        self.bytes_read += len(content)
        return content


def main() -> int:
    chosen = sys.argv[1:3] if len(sys.argv) > 2 else ("Kimi-K2-Instruct", "W8A8")
    model, scheme = chosen
    name = f"bench/{model}-{scheme}"
    with tempfile.TemporaryDirectory(prefix="qreg-bench-") as folder:
        # hf-mem finds shards under transformers' names only.
        twin = write_twin(Path(folder, name), model, scheme, shard_name="model")
        source = _Counting(twin)
        facts, _ = lint(source)
        truth = facts.footprint["weights"]
        shards = len(facts.checkpoint.shards)
        print(
            f"{name}: {truth / 2**30:,.0f} GiB, {shards} shards, {len(facts.checkpoint.tensors):,}"
            f" tensors; {source.bytes_read / 1e6:.1f} MB of metadata\n"
        )
        environment = {**os.environ, "QREG_DATA": f"{folder}/data", "QREG_CACHE": f"{folder}/cache"}
        with _hub(folder) as url:
            environment["HF_ENDPOINT"] = url
            commands = {
                "qreg inspect, here": [sys.executable, "-m", "qreg", "inspect", str(twin)],
                "qreg inspect, over HTTP": [
                    sys.executable, "-m", "qreg", "inspect", f"hf://{name}", "--json",
                ],
                "… with lint": [sys.executable, "-m", "qreg", "inspect", f"hf://{name}"],
                "hf-mem, over HTTP": [
                    sys.executable, "-m", "benchmarks.hf_mem_local", url, "--model-id", name,
                    "--json-output",
                ],
            }  # fmt: skip
            runs = {what: [] for what in commands}
            for _ in range(RUNS):
                for what, argv in commands.items():
                    runs[what].append(run_command(argv, environment))
    return _report(runs, truth, source.bytes_read)


def _report(runs: dict[str, list[Run]], truth: int, read: int) -> int:
    medians = {
        what: statistics.median(run.seconds for run in found) for what, found in runs.items()
    }
    peer = medians["hf-mem, over HTTP"]
    print(f"{'':<26} {'median':>8} {'memory':>8} {'× hf-mem':>9}  exact")
    for what, found in runs.items():
        memory = max(run.memory for run in found) / 1e6
        told = found[0].out.startswith("{") and _told(found[0].out)
        exact = {True: "yes", False: f"no: {told}"}[told == truth] if told else ""
        ratio = peer / medians[what]
        print(f"{what:<26} {medians[what]:6.2f} s {memory:5.0f} MB {ratio:9.2f}  {exact}")
    figures = {
        "seconds here": medians["qreg inspect, here"],
        "seconds over HTTP": medians["… with lint"],
        "MB of memory": max(r.memory for w, f in runs.items() if "hf-mem" not in w for r in f)
        / 1e6,
        "MB read": read / 2**20,
    }
    slow = [f"{k}: {v:.2f} of {LIMITS[k]}" for k, v in figures.items() if v > LIMITS[k]]
    slow += ["slower than hf-mem"] if medians["qreg inspect, over HTTP"] > peer else []
    print("\n" + ("over the limit: " + "; ".join(slow) if slow else "all within their limits"))
    return 1 if slow else 0


def _told(out: str) -> int | None:
    document = json.loads(out)
    footprint = document.get("footprint")
    return int(footprint["weights"] if footprint else document["memory"])


@contextmanager
def _hub(root: str) -> Iterator[str]:
    """The tests' hub, in a process of its own, so that its work is not the client's."""
    code = (
        "import sys, threading, pathlib; from tests.hub import hub\n"
        "with hub(pathlib.Path(sys.argv[1])) as state:\n"
        "    print(state.url, flush=True); sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, root],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
