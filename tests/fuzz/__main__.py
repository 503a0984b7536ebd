"""python -m tests.fuzz [--runs 100000]: fuzz, and say how it went; 1 if anything failed."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import failures, shapes

ROOT = Path(__file__).parents[2]
NO_ATHERIS = """\
atheris, which guides the fuzzer by coverage, is not installed here.

It has wheels for Linux on x86-64 with Python 3.11 to 3.13: there `make check` brings it, or
    python -m pip install 'atheris>=3,<3.1'
Anywhere else use a container of that kind:
    docker run --rm -v "$PWD":/qreg -w /qreg python:3.11 sh -c \\
        'pip install -e .[dev] && python -m tests.fuzz'
The property tests need no atheris and try the same invariants:
    python -m pytest tests/registry/checkpoint/test_properties.py
"""


@dataclass(frozen=True)
class Result:
    """How a run went.

    Attributes:
        code: exit code of the fuzzing process.
        inputs: how many were run.
        seconds: in all.
        edges, features: of coverage: branches of the code, and these with how often they ran.
        corpus: inputs kept for the coverage they added.
        ground, peak: MiB of memory before the first input, and at most.
        failures: kinds of failures, by file.
        log: the end of libFuzzer's output.
    """

    code: int
    inputs: int
    seconds: float
    edges: int
    features: int
    corpus: int
    ground: int
    peak: int
    failures: dict[str, str]
    log: str

    @property
    def good(self) -> bool:
        return self.code == 0 and not self.failures and self.inputs > 0


def fuzz(options: argparse.Namespace, folder: Path) -> Result:
    """Run the fuzzing process to its end; `folder` keeps what failed."""
    with tempfile.TemporaryDirectory(prefix="qreg-fuzz-") as work:
        seeds, dictionary = Path(work, "seeds"), Path(work, "words")
        grown = Path(options.corpus or Path(work, "corpus"))
        seeds.mkdir()
        grown.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(shapes.corpus()):
            (seeds / f"{number:03d}").write_bytes(data)
        dictionary.write_text("".join(f"{_quoted(word)}\n" for word in shapes.words()))
        arguments = [
            f"-runs={options.runs}", f"-seed={options.seed}", f"-timeout={options.timeout}",
            f"-max_total_time={options.seconds}", "-max_len=6000", "-len_control=0",
            f"-dict={dictionary}", f"-artifact_prefix={folder}/", "-report_slow_units=2",
            "-print_final_stats=1", str(grown), str(seeds),
        ]  # fmt: skip
        command = [sys.executable, "-m", "tests.fuzz.target", str(folder), str(options.memory)]
        begin = time.monotonic()
        done = subprocess.run(
            [*command, *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        seconds = time.monotonic() - begin
    return _result(done.returncode, done.stdout, seconds, failures.found(folder))


def _result(code: int, log: str, seconds: float, failed: dict[str, str]) -> Result:
    def last(pattern: str) -> int:
        numbers = re.findall(pattern, log)
        return int(numbers[-1]) if numbers else 0

    return Result(
        code=code,
        inputs=last(r"number_of_executed_units: *(\d+)"),
        seconds=seconds,
        edges=last(r"\bcov: (\d+)"),
        features=last(r"\bft: (\d+)"),
        corpus=last(r"\bcorp: (\d+)"),
        ground=last(r"ready at MiB: (\d+)"),
        peak=last(r"peak_rss_mb: *(\d+)"),
        failures=failed,
        log=log[-3000:],
    )


def _quoted(word: bytes) -> str:
    """A word as libFuzzer's dictionaries want it."""
    escaped = "".join(
        chr(b) if 32 <= b < 127 and chr(b) not in '"\\' else f"\\x{b:02x}" for b in word
    )
    return f'"{escaped}"'


def show(result: Result, folder: Path) -> None:
    """The summary, for people."""
    rate = result.inputs / max(result.seconds, 0.001)
    print(f"inputs    {result.inputs:,} in {result.seconds:.0f} s, {rate:,.0f}/s")
    print(f"coverage  {result.edges:,} edges, {result.features:,} features")
    print(f"corpus    {result.corpus:,} inputs that added coverage")
    print(f"memory    {result.peak:,} MiB at most, {result.ground:,} MiB before the first input")
    print(f"failures  {len(result.failures)}")
    for name, kind in result.failures.items():
        print(f"  {folder / name}\n    {kind}")
    if not result.good and not result.failures:
        print(f"The fuzzer ended with {result.code}:\n{result.log}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000, help="inputs to try")
    parser.add_argument("--seconds", type=int, default=0, help="stop after so long; 0: never")
    parser.add_argument("--seed", type=int, default=1, help="of the fuzzer's random numbers")
    parser.add_argument("--timeout", type=int, default=10, help="seconds that one input may take")
    parser.add_argument("--memory", type=int, default=1024, help="MiB to grow by at most")
    parser.add_argument("--corpus", help="a folder of inputs to go on from, which grows")
    parser.add_argument("--failures", help="a folder that keeps the inputs that failed")
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("atheris") is None:
        print(NO_ATHERIS, file=sys.stderr)
        return 2
    folder = Path(options.failures or tempfile.mkdtemp(prefix="qreg-fuzz-failures-")).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    result = fuzz(options, folder)
    show(result, folder)
    if not options.failures and not result.failures:
        folder.rmdir()
    return 0 if result.good else 1


if __name__ == "__main__":
    sys.exit(main())
