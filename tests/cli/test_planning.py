"""plan as users type it, for NPUs that are not here."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.checkpoints import write_quantized
from tests.conftest import Run
from tests.hub import hub
from tests.twins import write_twin


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models as headers and holes, below `org`."""
    root = tmp_path_factory.mktemp("twins")
    write_twin(root / "org" / "Qwen3-32B-W8A8", "Qwen3-32B", "W8A8")
    write_twin(root / "org" / "Qwen3-235B-A22B", "Qwen3-235B-A22B", "FLOAT")
    write_twin(root / "org" / "Qwen3-235B-A22B-W8A8", "Qwen3-235B-A22B", "W8A8")
    return root


def test_a_dense_model_takes_the_devices_that_it_needs(qreg: Run, twins: Path) -> None:
    ran = qreg("plan", twins / "org" / "Qwen3-32B-W8A8", "--hardware", "A2", "--json")
    assert ran.code == 0
    plan = ran.json
    assert plan["engine"] == "vllm-ascend" and plan["fits"] and plan["nodes"] == 1
    flags = {flag["name"]: flag for flag in plan["flags"]}
    assert flags["--quantization"]["value"] == "ascend"
    assert "--enable-expert-parallel" not in flags
    assert plan["parallel"]["tensor"] in (1, 2, 4)
    assert all(len(flag["reason"]) > 10 for flag in plan["flags"])
    assert plan["argv"][0][-2:] != [] and "serve" in plan["argv"][0]
    used = sum(plan["memory"][part] for part in ("weights", "kv_cache", "overhead"))
    assert used + plan["memory"]["free"] == plan["memory"]["capacity"]


def test_what_does_not_fit_says_what_is_missing_and_what_would_fit(qreg: Run, twins: Path) -> None:
    model = twins / "org" / "Qwen3-235B-A22B"
    ran = qreg("plan", model, "--hardware", "A2", "--json")
    assert ran.code == 6 and not ran.json["fits"]
    (error,) = [f for f in ran.json["findings"] if f["severity"] == "error"]
    assert error["id"] == "memory" and "GiB are missing" in error["message"]
    assert "--nodes 2" in error["fix"]
    wider = qreg("plan", model, "--hardware", "A2", "--nodes", 2, "--json")
    assert wider.code == 0 and wider.json["nodes"] == 2 == len(wider.json["argv"])
    first, second = wider.json["argv"]
    assert "--headless" in second and "--headless" not in first


def test_a_layout_that_cannot_be_names_the_nearest(qreg: Run, twins: Path) -> None:
    model = twins / "org" / "Qwen3-32B-W8A8"
    ran = qreg("plan", model, "--hardware", "A2", "--json", "--", "--tensor-parallel-size", 3)
    assert ran.code == 6
    (error,) = [f for f in ran.json["findings"] if f["severity"] == "error"]
    assert "64 attention heads cannot be shared by 3" in error["message"]
    assert "TP" in error["fix"]


def test_the_users_flags_win_and_are_looked_over(qreg: Run, twins: Path) -> None:
    words = ["--max-model-len", "8192", "--max-modle-len", "1"]
    words += ["--additional-config", json.dumps({"ascend_scheduler_config": {"enabled": True}})]
    model = twins / "org" / "Qwen3-32B-W8A8"
    ran = qreg("plan", model, "--hardware", "A3", "--json", "--", *words)
    found = {finding["id"]: finding for finding in ran.json["findings"]}
    assert "--max-model-len" in found["unknown-flag"]["fix"]
    assert "ascend_scheduler_config" in found["ignored-key"]["message"]
    flags = {flag["name"]: flag for flag in ran.json["flags"]}
    assert flags["--max-model-len"]["value"] == "8192"
    assert flags["--max-model-len"]["source"] == "user"


def test_one_flag_is_explained_with_its_evidence(qreg: Run, twins: Path) -> None:
    model = twins / "org" / "Qwen3-32B-W8A8"
    ran = qreg("plan", model, "--hardware", "A3", "--explain", "quantization")
    assert ran.code == 0 and "vllm-ascend#883" in ran.out and "artifact" in ran.out
    missing = qreg("plan", model, "--hardware", "A3", "--explain", "nothing", "--json")
    assert missing.code == 3 and "--quantization" in missing.error["remedy"]


def test_the_page_fits_one_screen(qreg: Run, twins: Path) -> None:
    ran = qreg("plan", twins / "org" / "Qwen3-235B-A22B-W8A8", "--hardware", "A3")
    assert ran.code == 0 and len(ran.out.splitlines()) <= 40
    assert "█ weights" in ran.out and "experts" in ran.out


def test_a_remote_artifact_is_planned_from_its_metadata(qreg: Run, twins: Path) -> None:
    with hub(twins) as state:
        ran = qreg(
            "plan", "hf://org/Qwen3-235B-A22B-W8A8", "--hardware", "A3", "--json",
            env={"HF_ENDPOINT": state.url},
        )  # fmt: skip
        assert ran.code == 0, ran.err
        assert state.sent < 16 * 2**20
    here = qreg("plan", twins / "org" / "Qwen3-235B-A22B-W8A8", "--hardware", "A3", "--json").json
    assert ran.json["memory"] == here["memory"] and ran.json["parallel"] == here["parallel"]
    assert ran.json["artifact"] == "org/Qwen3-235B-A22B-W8A8"


def test_serve_refuses_before_anything_is_moved(qreg: Run, twins: Path) -> None:
    with hub(twins) as state:
        ran = qreg(
            "serve", "hf://org/Qwen3-235B-A22B", "--hardware", "A2", "--json",
            env={"HF_ENDPOINT": state.url},
        )  # fmt: skip
        assert ran.code == 6 and "GiB are missing" in ran.error["message"]
        assert state.sent < 16 * 2**20


def test_the_quiet_line_is_the_command(qreg: Run, twins: Path) -> None:
    ran = qreg("plan", twins / "org" / "Qwen3-32B-W8A8", "--hardware", "A3", "--quiet")
    words = shlex.split(ran.out)
    assert words[1:4] == ["-m", "vllm.entrypoints.cli.main", "serve"]


def test_quietly_each_node_has_its_line_and_what_is_missing_is_said(qreg: Run, twins: Path) -> None:
    model = twins / "org" / "Qwen3-235B-A22B"
    words = ("plan", model, "--hardware", "A2", "--nodes", 2, "--quiet")
    ran = qreg(*words)
    first, second = (shlex.split(line) for line in ran.out.splitlines())
    assert "--headless" in second and "--headless" not in first
    assert "--address" in ran.err
    # A shell stops at a line whose address nobody gave.
    assert "${FIRST_NODE_ADDRESS:?the address of the first node}" in first
    given = qreg(*words, "--address", "10.0.0.7")
    assert "10.0.0.7" in given.out and "FIRST_NODE" not in given.out and not given.err


@pytest.mark.parametrize("hardware", ["cpu", "cuda:H100"])
def test_where_modelslims_format_is_not_read_its_conversion_is_named(
    hardware: str, qreg: Run, tmp_path: Path
) -> None:
    made = tmp_path / "it's org" / "m-w8a8"
    source = write_quantized(tmp_path / "source")
    words = ("convert", source, "--format", "modelslim", "--name", "org/m-w8a8")
    assert qreg(*words, "--output", made).code == 0
    ran = qreg("plan", made, "--hardware", hardware, "--json")
    assert ran.code == 6
    (error,) = [f for f in ran.json["findings"] if f["id"] == "method"]
    assert "qreg serve --convert" in error["fix"]
    command = shlex.split(error["fix"].partition(": ")[2].partition(" ;")[0])
    assert qreg(*command[1:], "--output", tmp_path / "ct").code == 0
    assert qreg("plan", tmp_path / "ct", "--hardware", hardware, "--json").code == 0
    # A folder without a manifest has no ORG, and a copy needs one.
    (made / "qreg.json").unlink()
    bare = made.rename(tmp_path / "it is--mine")
    (error,) = [
        f
        for f in qreg("plan", bare, "--hardware", hardware, "--json").json["findings"]
        if f["id"] == "method"
    ]
    command = shlex.split(error["fix"].partition(": ")[2].partition(" ;")[0])
    assert qreg(*command[1:], "--output", tmp_path / "ct2").code == 0
    # Nothing is promised for what has no counterpart.
    write_twin(tmp_path / "org" / "static", "Qwen3-32B", "W8A8")
    ran = qreg("plan", tmp_path / "org" / "static", "--hardware", hardware, "--json")
    (error,) = [f for f in ran.json["findings"] if f["id"] == "method"]
    assert "Serve it on NPUs" in error["fix"] and "--convert" not in error["fix"]
