"""What the doctor reads of drivers, CANN and the limits of a machine."""

from __future__ import annotations

import resource
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from registry.config import Settings
from registry.doctor import Check
from registry.finding import Finding
from serving.doctor import cann, devices, engines, launch, system
from serving.hardware.probe import ABSENT, HUNG, Answer
from serving.plan import Memory, Plan
from serving.releases import open_release
from tests.serving.hardware.tables import Row, a2, a3
from tests.serving.twins import facts_of, plan

GIB = 2**30


def _by_status(checks: list[Check], name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for check in checks:
        if check.id == name:
            found.setdefault(check.status, []).append(f"{check.found} {check.fix}")
    return found


def test_an_unhealthy_npu_is_named_with_the_others_to_use() -> None:
    """The board of a public report: NPU 3 in Warning, NPU 6 Critical (npu-smi 25.2.0)."""
    states = {3: "Warning", 6: "Critical"}
    table = a2([Row(board=n, name="910B3", health=states.get(n, "OK")) for n in range(8)])
    health = _by_status(list(devices.npus(Answer(table))), "npu-health")
    assert health["ok"] == ["6 of 8 NPUs are healthy (A2) "]
    critical, usable = sorted(health["warning"], reverse=True)
    assert "NPU 6 is in state Critical" in critical and "--devices 0-5,7" in critical
    assert "npu-smi info -t health -i 6 -c 0" in critical
    assert "NPU 3 is in state Warning; it can be used" in usable


def test_an_unhealthy_npu_that_is_wanted_stops_a_launch() -> None:
    table = a3(2, health={2: "Alarm"})
    checks = list(devices.npus(Answer(table), wanted=(2, 3)))
    assert "Alarm" in _by_status(checks, "npu-health")["error"][0]
    checks = list(devices.npus(Answer(table), wanted=(0, 1)))
    assert "error" not in _by_status(checks, "npu-health")
    assert "no NPU of the numbers 9" in _by_status(
        list(devices.npus(Answer(table), wanted=(9,))), "npu-health"
    )["error"][0]  # fmt: skip


def test_a_busy_npu_says_who_is_on_it() -> None:
    rows = [Row(board=n, name="910B3", used=56000 if n == 1 else 3400) for n in range(2)]
    checks = list(devices.npus(Answer(a2(rows, {1: "VLLMWorker_TP"}))))
    memory = _by_status(checks, "npu-memory")
    assert "NPU 1 is in use by VLLMWorker_TP (4201): 9.3 of 64.0 GiB" in memory["warning"][0]
    assert "60.7 GiB are free" in memory["ok"][0]


def test_a_driver_that_hangs_and_a_tool_that_is_not_there() -> None:
    (check,) = devices.npus(Answer("", HUNG, "no answer within 3 seconds"))
    assert check.status == "error" and "dmesg" in check.fix
    assert list(devices.npus(Answer("", ABSENT))) == []
    (check,) = devices.npus(Answer("dcmi model initialized failed\n"))
    assert check.status == "error" and "shows no NPU" in check.found


def test_gpus_in_use() -> None:
    rows = Answer("0, NVIDIA H200, 143771, 120000\n1, NVIDIA H200, 143771, 4\n")
    checks = list(devices.gpus(rows, Answer("570.86.15\n570.86.15\n")))
    memory = _by_status(checks, "gpu-memory")
    assert "GPU 0 is in use: 23.2 of 140.4 GiB" in memory["warning"][0]
    assert len(memory["ok"]) == 1
    assert "Driver 570.86.15 sees 2 × NVIDIA H200" in _by_status(checks, "gpu-driver")["ok"][0]


@pytest.mark.parametrize(
    ("path", "text", "version"),
    [
        # As Ascend's packages write them: driver 25, toolkit 8.3, and a toolkit that tells nothing.
        ("driver/version.info", "Version=25.2.0\nascendhal_version=7.35.23\n", "25.2.0"),
        ("a/x86_64-linux/ascend_toolkit_install.info",
         "package_name=Ascend-cann-toolkit\nversion=8.3.RC1\ninnerversion=V100R001\n", "8.3.RC1"),
        ("a/compiler/version.info", "Version=8.5.1\nversion_dir=8.5.1\n", "8.5.1"),
        ("a/version.info", "innerversion=V100R001\n", ""),
        ("a/none", None, ""),
    ],
)  # fmt: skip
def test_versions_in_files(tmp_path: Path, path: str, text: str | None, version: str) -> None:
    if text is not None:
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text)
    assert cann.version_in(tmp_path / path) == version


def test_cann_that_qreg_sources_for_its_tools(tmp_path: Path) -> None:
    for folder in ("ascend-toolkit/latest", "nnal/atb"):
        (tmp_path / folder).mkdir(parents=True)
    scripts = (tmp_path / "ascend-toolkit" / "set_env.sh", tmp_path / "nnal/atb/set_env.sh")
    for script in scripts:
        script.write_text("export X=1\n")
    checks = {check.id: check for check in cann.cann({}, tmp_path)}
    assert {check.status for check in checks.values()} == {"ok"}
    assert str(scripts[0]) in checks["cann-environment"].found
    assert str(scripts[1]) in checks["nnal"].found
    scripts[0].chmod(0o666)
    (changed,) = [c for c in cann.cann({}, tmp_path) if c.id == "cann-environment"]
    assert changed.status == "warning" and "others can write" in changed.found


def test_cann_that_nobody_sourced(tmp_path: Path) -> None:
    home = tmp_path / "cann-9.1.0"
    home.mkdir()
    (home / "set_env.sh").touch()
    checks = list(cann.cann({}, tmp_path))
    assert [(c.id, c.status) for c in checks] == [
        ("cann", "ok"), ("cann-environment", "warning"), ("nnal", "warning"),
    ]  # fmt: skip
    assert "CANN 9.1.0" in checks[0].found  # the folder's name tells it
    assert f"source {home}/set_env.sh" in checks[1].fix
    (tmp_path / "nnal").mkdir()
    sourced = {
        "ASCEND_HOME_PATH": str(home),
        "ASCEND_OPP_PATH": f"{home}/opp",
        "ATB_HOME_PATH": "x",
    }
    assert {c.status for c in cann.cann(sourced, tmp_path)} == {"ok"}
    (missing,) = cann.cann({}, tmp_path / "nowhere")
    assert missing.status == "error"


def test_what_is_installed_is_held_against_the_releases_pairing() -> None:
    release = open_release("0.23.0")
    right = {"vllm": "0.23.0", "vllm_ascend": "0.23.0.post1", "torch": "2.10.0+cpu",
             "torch_npu": "2.10.0.post4", "cann": "9.1.0", "python": "3.11.9"}  # fmt: skip
    assert {c.status for c in engines.pairing(release, right)} == {"ok"}
    wrong = {**right, "torch_npu": "2.9.0", "cann": "8.5.1"}
    checks = list(engines.pairing(release, wrong))
    assert {c.where for c in checks if c.status == "error"} == {"torch-npu", "cann"}
    assert any("cann 8.5.1 is installed" in c.found and "9.1.0" in c.fix for c in checks)
    unknown = [c for c in engines.pairing(release, {"vllm": "0.23.0"}) if c.status == "unknown"]
    assert {c.where for c in unknown} == {"torch", "torch-npu", "cann"}


def test_an_engine_that_is_not_installed(settings: Settings) -> None:
    (check,) = engines.engine("vllm-ascend", settings)
    assert check.status == "error" and "qreg toolchain" in check.fix


def test_shared_memory_of_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        total, used, free = 64 * 10**6, 0, 64 * 10**6

    monkeypatch.setattr("serving.doctor.system.shutil.disk_usage", lambda _: Usage)
    (check,) = system.shared_memory(8, tmp_path)
    assert check.status == "error" and "--shm-size" in check.fix
    (check,) = system.shared_memory(1, tmp_path)
    assert check.status == "warning"
    (check,) = system.shared_memory(None, tmp_path)  # without a plan nobody knows how many
    assert check.status == "warning"


def test_limits() -> None:
    assert system.open_files((256, 512)).status == "warning"
    assert system.open_files((1024, resource.RLIM_INFINITY)).fix == ""
    assert list(system.locked_memory("cpu")) == []
    (check,) = system.locked_memory("npu", (65536, 65536))
    assert "not for RDMA between several" in check.found


def test_a_port_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        assert system.port("127.0.0.1", number, asked=True).status == "error"
        assert system.port("127.0.0.1", number, asked=False).status == "warning"
    assert system.port("127.0.0.1", number, asked=True).status == "ok"


def _cpu_plan(cache: int) -> Plan:
    made = plan(facts_of("Qwen3-8B", "W8A8"), "A2")
    memory = Memory(64 * GIB, 8 * GIB, cache * GIB, 2 * GIB)
    return replace(made, engine="vllm-cpu", flags=(), memory=memory)


def test_free_memory_against_the_plan() -> None:
    statuses = [
        next(iter(launch.free_memory(_cpu_plan(10), {"memory": free * GIB}))).status
        for free in (17, 19, 20)
    ]
    assert statuses == ["error", "warning", "ok"]
    made = plan(facts_of("Qwen3-8B", "W8A8"), "A2")  # wants 0.9 of 60.96 GiB: 54.9
    busy, idle = launch.free_memory(made, {"NPU 0": 54 * GIB, "NPU 1": 60 * GIB})
    assert (busy.status, idle.status) == ("error", "ok")
    assert busy.where == "NPU 0" and "54.9 GiB" in busy.found


def test_the_plans_own_findings_come_first() -> None:
    made = plan(facts_of("DeepSeek-R1", "W8A8_DYNAMIC"), "A2", "--tensor-parallel-size", "1")
    checks = list(launch.plan(made))
    assert any(c.status == "error" and c.id.startswith("plan-") for c in checks)
    assert not any(c.id == "plan" for c in checks)
    twice = Finding("npu-busy", "warning", "NPU 0 is in use")
    (only,) = launch.plan(replace(made, findings=(twice,)))  # the doctor has looked itself
    assert only.id == "plan"
