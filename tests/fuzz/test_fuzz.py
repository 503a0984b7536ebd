"""The fuzz target itself: inputs are what they seem, failures are kept, a short run is clean."""

from __future__ import annotations

import importlib.util
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import __main__ as command
from tests.fuzz.failures import Failures, found
from tests.fuzz.invariants import Violation, examine
from tests.fuzz.memory import MemorySource
from tests.fuzz.seeds import SEEDS
from tests.fuzz.shapes import MODES, artifact, corpus, words

ROOT = Path(__file__).parents[2]
HAS_WHEELS = (
    sys.platform == "linux"
    and platform.machine() == "x86_64"
    and (3, 11) <= sys.version_info[:2] < (3, 14)
)


@pytest.mark.skipif(
    not HAS_WHEELS and importlib.util.find_spec("atheris") is None,
    reason="atheris has no wheel for this Python",
)
def test_a_short_run_finds_nothing(tmp_path: Path) -> None:
    arguments = ["--runs", "3000", "--failures", str(tmp_path / "failures")]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failures  0" in done.stdout
    inputs = int(done.stdout.split()[1].replace(",", ""))
    edges = int(done.stdout.partition("coverage")[2].split()[0].replace(",", ""))
    assert inputs >= 3000
    assert edges > 1000  # the code under test was instrumented, and inputs got into it


def test_without_atheris_the_command_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert command.main(["--runs", "1"]) == 2
    assert "python -m pip install 'atheris>=3,<3.1'" in capsys.readouterr().err


@pytest.mark.parametrize("name", SEEDS)
def test_seeds_are_whole_checkpoints(name: str) -> None:
    facts = examine(MemorySource(SEEDS[name]()))
    assert facts is not None and not facts.checkpoint.faults


def test_inputs_to_start_from_use_every_mode() -> None:
    inputs = list(corpus())
    assert {data[0] for data in inputs} == set(range(len(MODES)))
    assert max(map(len, inputs)) < 6000  # -max_len of the fuzzer
    for data in inputs:
        examine(artifact(data))
    assert b'"quant_method"' in words()


def test_of_each_kind_of_failure_the_shortest_input_is_kept(tmp_path: Path) -> None:
    failures = Failures(tmp_path)
    for data in (b"long input", b"short", b"longer input"):
        failures.add(Violation("x has control characters\n..."), data)
    failures.add(Violation("another"), b"other")
    kept = found(tmp_path)
    assert sorted(kept.values()) == ["Violation: another", "Violation: x has control characters"]
    assert {(tmp_path / name).read_bytes() for name in kept} == {b"short", b"other"}
