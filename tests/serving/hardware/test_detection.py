"""What is found when the drivers' tools answer, fail, hang or are not there."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from registry.errors import NotFoundError, UsageError
from serving.hardware import (
    abilities,
    detect,
    parse_devices,
    parse_hardware,
    profile,
    profiles,
)
from serving.hardware.probe import ABSENT, FAILED, HUNG, Answer, ask
from serving.hardware.profile import Hardware, number_text
from serving.releases import latest, open_release
from tests.conftest import Run
from tests.serving.hardware.tables import Row, a2

TWO = a2([Row(0, "910B3"), Row(1, "910B3")])
GPUS = "0, NVIDIA H100 80GB HBM3, 81559, 4\n1, NVIDIA H100 80GB HBM3, 81559, 4\n"


def tools(**answers: Answer) -> object:
    """An `ask` that knows `npu_smi` and `nvidia_smi` only."""

    def answer(command: tuple[str, ...]) -> Answer:
        return answers.get(command[0].replace("-", "_"), Answer("", ABSENT))

    return answer


@pytest.fixture
def nothing(tmp_path: Path) -> Path:
    """A folder without device files."""
    return tmp_path


def found(nothing: Path, **answers: Answer) -> tuple[Hardware, list[str]]:
    detected = detect(ask=tools(**answers), devices=nothing)  # type: ignore[arg-type]
    return detected.hardware, [finding.id for finding in detected.findings]


def test_npus_come_before_gpus_and_those_before_the_cpu(nothing: Path) -> None:
    npu, gpu = Answer(TWO), Answer(GPUS)
    hardware, ids = found(nothing, npu_smi=npu, nvidia_smi=gpu)
    assert (hardware.kind, hardware.devices, ids) == ("npu", 2, [])
    assert hardware.cores == (len(os.sched_getaffinity(0)))
    hardware, ids = found(nothing, nvidia_smi=gpu)
    assert (hardware.kind, hardware.devices, hardware.chip, ids) == ("cuda", 2, "H100", [])
    assert 79 * 2**30 < hardware.memory < 81559 * 2**20
    hardware, ids = found(nothing)
    assert hardware.kind == "cpu" and ids == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer("", HUNG, "no answer within 5 seconds"), "did not answer"),
        (Answer("dcmi model initialized failed", FAILED, "dcmi model initialized failed"), "dcmi"),
        (Answer("DrvMngGetConsoleLogLevel failed. (g_conLogLevel=3)\n"), "printed no table"),
        (Answer(""), "nothing"),
    ],
)
def test_npus_that_cannot_be_looked_at_are_not_passed_over(
    nothing: Path, answer: Answer, words: str
) -> None:
    detected = detect(ask=tools(npu_smi=answer), devices=nothing)  # type: ignore[arg-type]
    assert detected.hardware.kind == "cpu"
    (finding,) = detected.findings
    assert finding.id == "npu-smi" and words in finding.message and "--hardware" in finding.fix


def test_npus_without_npu_smi_are_noticed(tmp_path: Path) -> None:
    """As in a container that got the devices and not the driver's tools."""
    for name in ("davinci0", "davinci1", "davinci_manager"):
        (tmp_path / name).touch()
    detected = detect(ask=tools(), devices=tmp_path)  # type: ignore[arg-type]
    (finding,) = detected.findings
    assert "davinci0 and 1 more" in finding.message and "mount" in finding.fix


def test_gpus_of_different_kinds_busy_and_unreadable(nothing: Path) -> None:
    text = GPUS + "2, NVIDIA L4, 23034, 0\n"
    hardware, ids = found(nothing, nvidia_smi=Answer(text))
    assert (hardware.devices, ids) == (2, ["gpu-mixed"])
    hardware, ids = found(nothing, nvidia_smi=Answer(GPUS.replace(", 4\n", ", 70000\n", 1)))
    assert ids == ["gpu-busy"]
    hardware, ids = found(nothing, nvidia_smi=Answer("0, NVIDIA GB10, [N/A], [N/A]\n"))
    assert (hardware.kind, ids) == ("cpu", ["nvidia-smi"])
    hardware, ids = found(nothing, nvidia_smi=Answer("", FAILED, "couldn't communicate"))
    assert (hardware.kind, ids) == ("cpu", ["nvidia-smi"])


def fake(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    tool = folder / name
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)


def test_a_tool_that_hangs_is_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = tmp_path / "pid"
    fake(tmp_path / "bin", "npu-smi", f"trap '' TERM\nsleep 600 & echo $! > {trace}\nwait")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    start = time.monotonic()
    answer = ask(("npu-smi", "info"), limit=1.0)
    assert time.monotonic() - start < 4 and answer.problem == HUNG
    child = Path("/proc") / trace.read_text().strip()
    for _ in range(50):
        if not child.exists() or "Z" in (child / "stat").read_text().split()[2]:
            return
        time.sleep(0.1)
    raise AssertionError("the child of the tool lives on")


def test_a_tool_that_fails_or_is_missing_is_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(tmp_path / "bin", "npu-smi", "echo dcmi model initialized failed, ret is -8005; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    answer = ask(("npu-smi", "info"))
    assert answer.problem == FAILED and answer.detail.startswith("dcmi model initialized failed")
    assert ask(("npu-smi-of-another-maker",)).problem == ABSENT
    (tmp_path / "bin" / "npu-smi").write_bytes(b"\x7fELF nonsense")
    assert ask(("npu-smi", "info")).problem == FAILED


def test_profiles_by_many_names() -> None:
    for name, expected in (
        ("A3", "A3"), ("a2", "A2"), ("A2-32G", "A2-32G"), ("a5", "950"), ("300i duo", "300I-Duo"),
        ("cuda:h100", "cuda:H100"), ("910C", "A3"), ("310p3", "310P"),
    ):  # fmt: skip
        assert profile(name).name == expected
    with pytest.raises(NotFoundError):
        profile("A4")
    with pytest.raises(UsageError) as refused:
        parse_hardware("A4")
    assert "A2-32G" in refused.value.remedy and "cuda:H100" in refused.value.remedy
    assert len({row.name for row in profiles()}) == len(profiles())


def test_nodes_and_devices_narrow_a_profile() -> None:
    hardware = parse_hardware("A3", nodes=2, devices="0-7")
    assert (hardware.nodes, hardware.devices, hardware.world) == (2, 8, 16)
    assert parse_hardware("A2", devices="0,2,4").device_numbers == (0, 2, 4)
    assert parse_hardware("cpu").kind == "cpu"
    for wish in ({"devices": "0-16"}, {"nodes": 0}, {"devices": "x"}, {"devices": "7-0"}):
        with pytest.raises(UsageError):
            parse_hardware("A3", **wish)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="nvidia-smi shows none"):
        parse_hardware("cuda", ask=tools())  # type: ignore[arg-type]
    assert parse_hardware("cuda", ask=tools(nvidia_smi=Answer(GPUS))).devices == 2  # type: ignore[arg-type]


def test_device_lists() -> None:
    assert parse_devices("0-3, 6") == (0, 1, 2, 3, 6)
    assert number_text((6, 0, 1, 2, 3)) == "0-3,6" and number_text(()) == ""
    for text in ("", "-", "1-", "a", "0--2", "0-99999"):
        with pytest.raises(UsageError):
            parse_devices(text)


def test_what_profiles_can_run_follows_the_release() -> None:
    newest, older = latest(), open_release("0.13.0")
    a3, small = profile("A3"), profile("310P")
    assert "W8A8_DYNAMIC" in abilities(a3, newest).schemes["modelslim"]["moe"]
    assert "W8A16" not in abilities(small, newest).schemes["modelslim"]["linear"]
    assert "compressed-tensors" not in abilities(small, newest).schemes
    assert abilities(profile("950"), newest).methods[-1] == "fp8"
    assert "W4A4_DYNAMIC" not in abilities(a3, older).schemes["modelslim"]["linear"]
    assert "fp8" in abilities(profile("cuda:H100"), newest).methods
    assert "fp8" not in abilities(profile("cuda:A100"), newest).methods
    assert abilities(parse_hardware("cpu"), newest).release == ""


def test_the_command_shows_this_machine_and_every_profile(
    qreg: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "table"
    table.write_text(TWO)
    fake(tmp_path / "bin", "npu-smi", f"cat {table}")
    env = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    document = qreg("hardware", "--json", env=env).json
    assert document["hardware"]["name"] == "A2" and document["hardware"]["devices"] == 2
    assert document["findings"] == [] and document["release"] == latest().number
    human = qreg("hardware", "--hardware", "A3", "--nodes", 2).out
    assert "2 nodes with 16" in human and "W8A8_DYNAMIC" in human
    every = qreg("hardware", "--all", "--json", env=env).json["profiles"]
    assert [row["name"] for row in every] == [row.name for row in profiles()]
    assert "300I-Duo" in qreg("hardware", "--all", env=env).out
    refused = qreg("hardware", "--hardware", "A4", "--json")
    assert refused.code == 2 and refused.error["kind"] == "usage"
    assert qreg("hardware", "--release", "0.0.1").code == 3
