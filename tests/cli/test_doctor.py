"""`qreg doctor`, as users run it."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from registry.config import Settings
from tests.checkpoints import CONFIG, write_model
from tests.conftest import Ran, Run
from tests.own_hub import own_hub

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
