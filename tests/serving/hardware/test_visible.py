"""Devices that the environment hides: the profile is narrowed, and what hides them is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from registry.errors import IncompatibleError, UsageError
from registry.finding import ERROR, WARNING
from serving.engines import open_engine
from serving.hardware import Detected, Hardware, detect, narrow, parse_hardware
from serving.hardware.probe import ABSENT, Answer
from serving.hardware.visible import UUIDS
from serving.plan import Plan
from serving.releases import latest
from serving.resolver import compose_plan
from serving.wishes import Wishes
from tests.checkpoints import write_quantized
from tests.conftest import Run
from tests.serving.hardware.tables import Row, a2
from tests.serving.twins import facts_of
from tests.twins import write_twin

ASCEND, CUDA = "ASCEND_RT_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"
EIGHT = a2([Row(number, "910B3") for number in range(8)])
GPUS = "".join(f"{n}, NVIDIA H100 80GB HBM3, 81559, {2 + n % 2 * 70000}\n" for n in range(4))
NAMES = "".join(f"{n}, GPU-{n}a2b{n}c4d-0000-1111-2222-333344445555\n" for n in range(4))


def look(environ: dict[str, str]) -> Detected:
    """A machine with eight NPUs, or, where a variable for GPUs is given, with four GPUs."""

    def ask(command: tuple[str, ...]) -> Answer:
        if (command[0] == "npu-smi") == (CUDA in environ):
            return Answer("", ABSENT)
        if command[0] == "npu-smi":
            return Answer(EIGHT)
        return Answer(NAMES if command == UUIDS else GPUS)

    return detect(ask=ask, devices=Path("/nowhere"), environ=environ)


def planned(hardware: Hardware, engine: str, environ: dict[str, str]) -> Plan:
    table = latest() if engine == "vllm-ascend" else None
    wishes = Wishes(environment=environ, arguments=("-tp", "2"))
    facts = facts_of("Qwen3-14B", "FLOAT")
    return compose_plan(facts, wishes, open_engine(engine), hardware, table=table)


def test_npus_are_narrowed_to_those_that_are_shown() -> None:
    found = look({ASCEND: "4,5"})
    assert (found.hardware.devices, found.hardware.device_numbers) == (2, (4, 5))
    assert found.hardware.memory == look({}).hardware.memory
    (told,) = found.findings
    assert told.message == f"Only NPU 4-5 of 8 are shown: {ASCEND}=4,5"
    assert planned(found.hardware, "vllm-ascend", {ASCEND: "4,5"}).env[ASCEND] == "4,5"
    assert look({ASCEND: "0,1,2,3,4,5,6,7"}).findings == ()


def test_devices_count_among_those_that_are_shown() -> None:
    environ = {ASCEND: "4,5,6,7"}
    chosen = narrow(look(environ).hardware, devices="0,2")
    assert chosen.device_numbers == (4, 6)
    # The choice wins over the variable that it was made among.
    assert planned(chosen, "vllm-ascend", environ).env[ASCEND] == "4,6"
    with pytest.raises(UsageError, match="has no device 4: it has 0-3; the environment shows 4-7"):
        narrow(look(environ).hardware, devices="4")


def test_hardware_that_is_named_is_as_its_name_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ASCEND, "0,1")
    hardware = parse_hardware("A3")
    assert hardware.devices == 16
    assert ASCEND not in planned(hardware, "vllm-ascend", {ASCEND: "0,1"}).env


@pytest.mark.parametrize("value", ["", "-1", " ", "9"])
def test_where_all_are_hidden_there_is_an_error_and_no_plan(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, engine in ((ASCEND, "vllm-ascend"), (CUDA, "vllm")):
        found = look({name: value})
        assert found.hardware.kind == "cpu"
        assert [f.severity for f in found.findings if f.id == "visible-devices"] == [ERROR]
        monkeypatch.setattr("serving.engines.sighting.detect", lambda found=found: found)
        with pytest.raises(IncompatibleError, match=f"{name}.* hides all"):
            open_engine(engine).sight()


def test_gpus_are_shown_by_number_or_by_the_beginning_of_their_uuid() -> None:
    assert look({CUDA: "3,1"}).hardware.device_numbers == (3, 1)
    found = look({CUDA: "GPU-2a2,GPU-0a2b0c4d-0000-1111-2222-333344445555"}).hardware
    assert found.device_numbers == (2, 0)
    assert narrow(found, devices="0").device_numbers == (2,)
    # A beginning that fits none, or a device a second time, ends the list.
    found = look({CUDA: "1,GPU-ffff,0"})
    assert found.hardware.device_numbers == (1,)
    assert found.findings[0].severity == WARNING
    assert "'GPU-ffff'" in found.findings[0].message


def test_what_is_hidden_is_not_spoken_of_and_advice_counts_as_devices_does() -> None:
    assert not [f for f in look({CUDA: "0,2"}).findings if f.id == "gpu-busy"]
    rows = [Row(n, "910B3", used=60000 if n == 5 else 3400) for n in range(8)]

    def ask(command: tuple[str, ...]) -> Answer:
        return Answer(a2(rows))

    for shown, advice in (("4,5", "--devices 0 ."), ("5,6,7", "--devices 1-2 .")):
        found = detect(ask=ask, environ={ASCEND: shown})
        (busy,) = [f for f in found.findings if f.id == "npu-busy"]
        assert advice in busy.fix
    assert not [f for f in detect(ask=ask, environ={ASCEND: "0"}).findings if f.id == "npu-busy"]


def test_a_part_of_a_gpu_is_not_guessed_at() -> None:
    found = look({CUDA: "MIG-1a2b3c4d-0000-1111-2222-333344445555"})
    assert found.findings[0].severity == ERROR and "MIG" in found.findings[0].message


def tool(folder: Path, name: str, text: str) -> dict[str, str]:
    """A driver's tool that prints a text, first on the PATH."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\ncat <<'END'\n{text}END\n")
    (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def test_commands_tell_and_respect_what_is_shown(qreg: Run, tmp_path: Path) -> None:
    env = {**tool(tmp_path / "bin", "npu-smi", EIGHT), ASCEND: "2,3"}
    ran = qreg("hardware", "--json", env=env)
    assert (ran.code, ran.json["hardware"]["device_numbers"]) == (0, [2, 3])
    assert "Only NPU 2-3 of 8 are shown" in ran.json["findings"][0]["message"]
    model = tmp_path / "org" / "Qwen3-32B-W8A8"
    write_twin(model, "Qwen3-32B", "W8A8")
    plan = qreg("plan", model, "--json", env=env).json
    assert plan["env"][ASCEND] == "2,3" and plan["parallel"]["tensor"] <= 2
    assert [f for f in plan["findings"] if f["id"] == "visible-devices"]
    ran = qreg("plan", model, "--json", "--", "-tp", 8, env=env)
    assert ran.code == 6 and "needs 8 devices" in ran.json["findings"][0]["message"]
    chosen = qreg("plan", model, "--json", "--devices", "1", env=env).json
    assert chosen["env"][ASCEND] == "3"
    assert qreg("hardware", env={**env, ASCEND: ""}).code == 6
    # What the doctor looks at is what a launch would take.
    sick = a2([Row(n, "910B3", health="Alarm" if n == 3 else "OK") for n in range(8)])
    told = {**env, **tool(tmp_path / "sick", "npu-smi", sick)}
    assert "NPU 3 is in state Alarm" in qreg("doctor", "--devices", "1", env=told).out
    assert "Alarm" not in qreg("doctor", "--devices", "0", env=told).out
    ran = qreg("serve", write_quantized(tmp_path / "small"), env=env)
    assert ran.code and "Only NPU 2-3 of 8 are shown" in ran.err  # vLLM Ascend is not installed
    ran = qreg("serve", model, env={**env, ASCEND: "-1"})
    assert ran.code == 6 and "hides all 8 NPUs" in ran.err


def test_a_release_of_vllm_ascend_is_told_of_npus_alone(qreg: Run) -> None:
    assert qreg("hardware", "--hardware", "A3", "--json").json["release"]
    for other in ("cuda:H100", "cpu"):
        ran = qreg("hardware", "--hardware", other, "--json")
        assert ran.json["release"] is None and "Ascend" not in ran.out
