"""`qreg doctor`, as users run it."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from registry.config import Settings
from tests.checkpoints import CONFIG, write_model
from tests.conftest import Ran, Run
from tests.own_hub import own_hub
from tests.serving.hardware.tables import Row, a2

OFFLINE = {"QREG_OFFLINE": "1"}


def _checks(ran: Ran, name: str) -> list[dict[str, Any]]:
    return [check for check in ran.json["checks"] if check["id"] == name]


def test_this_machine(qreg: Run) -> None:
    ran = qreg("doctor", "--engine", "vllm-cpu", "--json", env=OFFLINE)
    engine = _checks(ran, "engine")[0]["status"]
    assert ran.json["launchable"] == (ran.json["summary"]["error"] == 0) == (ran.code == 0)
    assert ran.code == (1 if engine == "error" else 0), ran.out
    for check in ran.json["checks"]:
        assert set(check) == {"id", "status", "found", "fix", "where"}
        assert check["fix"] or check["status"] == "ok", check
    shown = qreg("doctor", "--engine", "vllm-cpu", env=OFFLINE)
    assert shown.out.splitlines()[-1] == ran.json["summary"]["text"]
    assert qreg("doctor", "-q", env=OFFLINE).out.count("\n") == 1


def test_an_engine_that_is_not_here_stops_a_launch(qreg: Run) -> None:
    ran = qreg("doctor", "--engine", "vllm-ascend", "--json", env=OFFLINE)
    assert ran.code == 1
    assert any("qreg toolchain" in check["fix"] for check in _checks(ran, "engine"))
    assert _checks(ran, "cann")[0]["status"] == "error"


def test_an_artifact_that_cannot_run_here(qreg: Run, tmp_path: Path) -> None:
    fp8 = {"quant_method": "fp8", "activation_scheme": "dynamic"}  # which vLLM runs on no CPU
    write_model(tmp_path / "m", config={**CONFIG, "quantization_config": fp8})
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        wanted = ("--engine", "vllm-cpu", "--port", port)
        ran = qreg("doctor", tmp_path / "m", *wanted, "--json", env=OFFLINE)
    assert ran.code == 1
    assert _checks(ran, "plan-method")[0]["status"] == "error"
    assert _checks(ran, "port")[0]["status"] == "error"


def test_a_reference_that_names_nothing(qreg: Run) -> None:
    ran = qreg("doctor", "org/none", "--json", env=OFFLINE)
    assert ran.code == 1
    (plan,) = _checks(ran, "plan")
    assert plan["status"] == "error" and "org/none" in plan["found"]


@pytest.mark.parametrize("token", ["good", "bad", ""])
def test_hubs_know_a_token_or_refuse_it(
    qreg: Run, settings: Settings, tmp_path: Path, token: str
) -> None:
    del settings
    with own_hub(tmp_path / "registry") as hub:
        given = {"good": hub.writer, "bad": "hf_" + "x" * 30, "": ""}[token]
        env = {
            **hub.environment, "HF_TOKEN": given, "MODELSCOPE_API_TOKEN": given,
            "HOME": str(tmp_path), "QREG_SOURCES": "ms://,hf://",
        }  # fmt: skip
        ran = qreg("doctor", "--json", env=env)
    rows = [*_checks(ran, "huggingface"), *_checks(ran, "modelscope")]
    assert len(rows) == 2
    for row in rows:
        if token == "good":
            assert row["status"] == "ok" and "knows the token of write-0" in row["found"], row
        elif token == "bad":
            assert row["status"] == "warning" and "(HTTP 401)" in row["found"], row
            assert "xxxx" not in json.dumps(ran.json)
        else:
            assert row["status"] == "ok" and "no token is set" in row["found"], row
    assert _checks(ran, "clock")[0]["status"] == "ok"
    assert "QREG_OFFLINE" not in os.environ


def _with_npu_smi(folder: Path, body: str) -> dict[str, str]:
    """An npu-smi on the PATH that prints what a real one printed, or hangs as real ones do."""
    folder.mkdir()
    (folder / "npu-smi").write_text(f"#!/bin/sh\n{body}\n")
    (folder / "npu-smi").chmod(0o755)
    return {**OFFLINE, "PATH": f"{folder}:{os.environ['PATH']}"}


def test_a_machine_whose_npus_are_all_broken(qreg: Run, tmp_path: Path) -> None:
    table = a2([Row(board=n, name="910B3", health="Critical") for n in range(2)])
    (tmp_path / "table").write_text(table)
    env = _with_npu_smi(tmp_path / "bin", f"cat {tmp_path}/table")
    ran = qreg("doctor", "--json", env=env)
    assert ran.code == 1
    health = _checks(ran, "npu-health")
    assert [row["status"] for row in health] == ["error", "error"]
    assert "npu-smi info -t health -i 1 -c 0" in health[1]["fix"]
    # Who asks for the CPU is not kept from it by them.
    ran = qreg("doctor", "--engine", "vllm-cpu", "--json", env=env)
    assert _checks(ran, "npu-health") == []


def test_a_machine_with_npus_in_use(qreg: Run, tmp_path: Path) -> None:
    rows = [Row(board=n, name="910B3", used=56000 if n == 1 else 3400) for n in range(2)]
    (tmp_path / "table").write_text(a2(rows, {1: "VLLMWorker_TP"}))
    env = _with_npu_smi(tmp_path / "bin", f"cat {tmp_path}/table")
    model = write_model(tmp_path / "m")
    ran = qreg("doctor", model, "--devices", "1", "--json", env=env)
    (row,) = _checks(ran, "free-memory")
    assert (row["status"], row["where"]) == ("error", "NPU 1")
    ran = qreg("doctor", model, "--devices", "0", "--json", env=env)
    assert _checks(ran, "free-memory")[0]["status"] == "ok"
    assert not any(row["where"] == "NPU 1" for row in ran.json["checks"])
    # Without a choice, the first device is the plan's.
    ran = qreg("doctor", model, "--json", env=env)
    assert [row["where"] for row in _checks(ran, "free-memory")] == ["NPU 0"]


def test_shared_memory_counts_the_ranks_of_the_plan(qreg: Run, tmp_path: Path) -> None:
    """Eight NPUs in a container with Docker's 64 MB of shared memory."""
    rows = [Row(board=n, name="910B3", used=3400) for n in range(8)]
    (tmp_path / "table").write_text(a2(rows))
    env = _with_npu_smi(tmp_path / "bin", f"cat {tmp_path}/table")
    docker = (
        "import shutil, sys\n"
        "real = shutil.disk_usage\n"
        "usage = type(real('/'))(64 * 10**6, 0, 64 * 10**6)\n"
        "shutil.disk_usage = lambda path: usage if str(path) == '/dev/shm' else real(path)\n"
    )
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "sitecustomize.py").write_text(docker)
    env["PYTHONPATH"] = f"{tmp_path}/docker:{os.environ.get('PYTHONPATH', '')}"
    model = write_model(tmp_path / "m")
    found = {}
    for words in ((), (model, "--", "-tp", "1"), (model, "--", "-tp", "2")):
        (row,) = _checks(qreg("doctor", "--json", *words, env=env), "shared-memory")
        found[words[-1:]] = row["status"], "2 workers" in row["found"]
    told = {(): ("warning", False), ("1",): ("warning", False), ("2",): ("error", True)}
    assert found == told


def test_a_driver_that_hangs_is_told_within_seconds(qreg: Run, tmp_path: Path) -> None:
    env = _with_npu_smi(tmp_path / "bin", "exec sleep 60")
    began = time.monotonic()
    ran = qreg("doctor", "--json", env=env)
    assert time.monotonic() - began < 30
    (row,) = _checks(ran, "npu-driver")
    assert row["status"] == "error" and "no answer within 3 seconds" in row["found"]
    assert ran.code == 1
