"""Memory that others have, before the engine finds out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from registry.errors import IncompatibleError
from serving.failures import require_free_memory
from serving.hardware.occupancy import occupancy
from serving.hardware.probe import ABSENT, Answer, Ask
from serving.plan import Memory, Plan
from tests.serving.hardware.tables import Row, a2
from tests.serving.render.plans import GIB, ONE_NODE, flag

IDLE, BUSY = Row(0, "910B3"), Row(1, "910B3", used=59440)
# `nvidia-smi --help-query-gpu` and `--help-query-compute-apps`: the columns that were asked for.
GPUS = "0, GPU-11, 143771, 130001\n1, GPU-22, 143771, 4\n"
PROCESSES = "GPU-11, 4711, /opt/vllm/bin/python3, 129990\nGPU-11, 12, /bin/other, 11\n"


def smi(table: str = "", gpus: str = "", processes: str = "") -> Ask:
    def ask(command: tuple[str, ...]) -> Answer:
        if command[0] == "npu-smi":
            return Answer(table) if table else Answer("", ABSENT)
        text = processes if "compute-apps" in command[1] else gpus
        return Answer(text) if gpus else Answer("", ABSENT)

    return ask


def npu_plan(devices: str | None, ranks: int, share: str = "0.9") -> Plan:
    """A plan counts the whole of a device, 60.96 GiB, of which the engine takes a share."""
    flags = (flag("ASCEND_RT_VISIBLE_DEVICES", devices),) if devices else ()
    flags += (flag("--gpu-memory-utilization", share),)
    memory = Memory(int(60.96 * GIB), 30 * GIB, 20 * GIB, 4 * GIB)
    return replace(ONE_NODE, flags=flags, memory=memory, parallel={"tensor": ranks})


def test_a_busy_npu_is_refused_with_what_uses_it() -> None:
    table = a2([IDLE, BUSY, Row(2, "910B3")], {1: "VLLM::Worker"})
    with pytest.raises(IncompatibleError) as caught:
        require_free_memory(npu_plan(None, 2), smi(table), {})
    assert "NPU 1 is in use by VLLM::Worker" in caught.value.message
    assert "takes 54.9 GiB" in caught.value.message and "6.0 of 64.0 GiB" in caught.value.message
    assert "--devices 0,2 ." in caught.value.remedy and caught.value.exit_code == 6
    # Those that the plan does not use do not matter.
    require_free_memory(npu_plan(None, 1), smi(table), {})
    require_free_memory(npu_plan("0,2", 2), smi(table), {})
    require_free_memory(npu_plan(None, 2), smi(table), {"ASCEND_RT_VISIBLE_DEVICES": "2,0"})
    with pytest.raises(IncompatibleError):
        require_free_memory(npu_plan(None, 1), smi(table), {"ASCEND_RT_VISIBLE_DEVICES": "1"})
    # Devices to take instead are counted as --devices counts them: among those that are shown.
    with pytest.raises(IncompatibleError) as caught:
        require_free_memory(npu_plan("1", 1), smi(table), {"ASCEND_RT_VISIBLE_DEVICES": "1,2"})
    assert "--devices 1 ." in caught.value.remedy
    # A plan that is content with what is free may start.
    require_free_memory(npu_plan(None, 2, share="0.08"), smi(table), {})


def test_what_an_idle_npu_has_in_use_does_not_matter() -> None:
    """An idle NPU shows 5 %, which a share of 1.0 of all memory would not leave."""
    require_free_memory(npu_plan(None, 1, share="1.0"), smi(a2([IDLE])), {})


def test_a_busy_gpu() -> None:
    memory = Memory(int(139.4 * GIB), 9 * GIB, 100 * GIB, GIB)
    plan = replace(ONE_NODE, engine="vllm", flags=(), memory=memory, parallel={"tensor": 1})
    with pytest.raises(IncompatibleError) as caught:
        require_free_memory(plan, smi(gpus=GPUS, processes=PROCESSES), {})
    assert "GPU 0 is in use by python3 (4711), other (12)" in caught.value.message
    assert "--devices 1 ." in caught.value.remedy
    free = {"CUDA_VISIBLE_DEVICES": "1"}
    require_free_memory(plan, smi(gpus=GPUS, processes=PROCESSES), free)
    unknown = {"CUDA_VISIBLE_DEVICES": "GPU-11"}  # which one this is is not known: vLLM will say
    require_free_memory(plan, smi(gpus=GPUS, processes=PROCESSES), unknown)


@pytest.mark.parametrize(
    ("share", "used", "starts"),
    [("0.9", 8000, True), ("0.9", 16000, False), ("0.3", 60000, True), (None, 8000, True)],
)
def test_the_share_of_a_gpu_is_what_must_be_free(
    share: str | None, used: int, starts: bool
) -> None:
    """`request_memory` (v1/worker/utils.py of vLLM 0.25.1) asks for the total times the share."""
    flags = (flag("--gpu-memory-utilization", share),) if share else ()
    memory = Memory(int(139.4 * GIB), 9 * GIB, 100 * GIB, GIB)
    plan = replace(ONE_NODE, engine="vllm", flags=flags, memory=memory, parallel={"tensor": 1})
    there = smi(gpus=f"0, GPU-11, 143771, {used}\n", processes=f"GPU-11, 12, /bin/other, {used}\n")
    if starts:
        require_free_memory(plan, there, {})
        return
    with pytest.raises(IncompatibleError, match="takes 125"):
        require_free_memory(plan, there, {})


def test_nobody_tells() -> None:
    for engine in ("vllm", "vllm-ascend", "a-plug-in"):
        require_free_memory(replace(ONE_NODE, engine=engine), smi(), {})
    broken = smi(gpus="[N/A], GPU-11, [N/A], [N/A]\nFailed to initialize NVML\n")
    assert occupancy("cuda", broken) == ()


def cpu_plan(weights: float, cache: int, asked: str = "") -> Plan:
    memory = Memory(10**15, int(weights * GIB), cache * GIB, 2 * GIB)
    flags = (flag("VLLM_CPU_KVCACHE_SPACE", asked),) if asked else ()
    return replace(ONE_NODE, engine="vllm-cpu", flags=flags, memory=memory)


def test_main_memory() -> None:
    require_free_memory(cpu_plan(0.001, 0))
    with pytest.raises(IncompatibleError) as caught:
        require_free_memory(cpu_plan(0.5, 100_000))
    assert (
        "100002.5 GiB of memory (0.5 of weights, 100000.0 of KV cache, 2.0 besides)"
        in caught.value.message
    )
    assert "VLLM_CPU_KVCACHE_SPACE=" in caught.value.remedy
    with pytest.raises(IncompatibleError, match=r"3\.0 of KV cache"):  # what the user asked counts
        require_free_memory(cpu_plan(10**6, 1, asked="3"))
    with pytest.raises(IncompatibleError) as caught:
        require_free_memory(cpu_plan(10**6, 1))
    assert "VLLM_CPU_KVCACHE_SPACE" not in caught.value.remedy  # no cache is small enough


def test_where_linux_does_not_tell(tmp_path: Path) -> None:
    assert occupancy("cpu", proc=tmp_path) == ()
    (tmp_path / "meminfo").write_text("MemTotal:       24000000 kB\nMemFree: 1 kB\n")
    assert occupancy("cpu", proc=tmp_path) == ()
    (tmp_path / "meminfo").write_text("MemTotal: 2400 kB\nMemAvailable: 1200 kB\n")
    (machine,) = occupancy("cpu", proc=tmp_path)
    assert (machine.total, machine.free) == (2400 * 1024, 1200 * 1024)
