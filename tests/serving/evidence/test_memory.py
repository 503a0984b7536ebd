"""What devices hold, from the drivers' own tables."""

from __future__ import annotations

import os
import subprocess
import sys

from serving.evidence.memory import GPU_PROCESSES, GPUS, measure, of_gpus
from serving.hardware.probe import Answer

MIB = 2**20
# npu-smi 26.1.1 of an A3 with vLLM's workers on it (September 2026), its first board.
A3 = """\
| npu-smi 26.1.1                              Version: 26.1.1                                                      |
| NPU   Name                | Health        | Power(W)             Temp(C)                 Hugepages-Usage(page)   |
| Chip  Phy-ID              | Bus-Id        | AICore(%)            Memory-Usage(MB)        HBM-Usage(MB)           |
| 0     Ascend910           | OK            | 169.4                51                      0    / 0                |
| 0     0                   | 0000:9D:00.0  | 0                    0    / 0                59440/ 65536            |
| 0     Ascend910           | OK            | -                    51                      0    / 0                |
| 1     1                   | 0000:9F:00.0  | 0                    0    / 0                59195/ 65536            |
| NPU     Chip              | Process id    | Process name       | Process memory(MB)    | Process id in container |
| 0       0                 | 90729         | VLLMWorker_TP      | 56370                 | NA                      |
| 0       1                 | 90962         | VLLMWorker_TP      | 56370                 | 311                     |
"""  # noqa: E501


def test_npus_tell_the_engines_share_on_the_host_and_in_a_container() -> None:
    on_host = measure("npu", {90729}, ask=lambda _: Answer(A3))
    assert [(row.number, row.ours) for row in on_host] == [(0, 56370 * MIB)]
    assert (on_host[0].used, on_host[0].total) == (59440 * MIB, 65536 * MIB)
    inside = measure("npu", {311}, ask=lambda _: Answer(A3))
    assert [(row.number, row.ours) for row in inside] == [(1, 56370 * MIB)]


def test_npus_that_know_our_processes_by_other_numbers_are_all_told() -> None:
    rows = measure("npu", {1}, ask=lambda _: Answer(A3))
    assert [(row.number, row.ours) for row in rows] == [(0, None), (1, None)]


def test_gpus_by_their_identity() -> None:
    texts = {
        GPUS: "0, GPU-aa, 143771, 132000\n1, GPU-bb, 143771, 4\n",
        GPU_PROCESSES: "GPU-aa, 4711, 131000\nGPU-bb, 9, [N/A]\n",
    }
    rows = measure("cuda", {4711, 9}, ask=lambda command: Answer(texts[command]))
    assert [(row.number, row.used, row.ours) for row in rows] == [(0, 132000 * MIB, 131000 * MIB)]


def test_a_tool_without_an_answer_tells_nothing() -> None:
    assert measure("npu", {1}, ask=lambda _: Answer("", "hung")) == ()
    assert of_gpus("No devices were found", "", {1}) == ()
    assert measure("", {1}) == ()


def test_a_process_of_a_cpu_holds_what_it_wrote_to() -> None:
    held = 64 * MIB
    code = f"import sys; x = bytearray({held}); x[::4096] = b'1' * len(x[::4096]); print(); input()"
    child = subprocess.Popen(
        [sys.executable, "-I", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        child.stdout.readline()
        (row,) = measure("cpu", {child.pid, 2**22 + 1})
        assert row.ours is not None and held < row.ours < 4 * held
        (both,) = measure("cpu", {child.pid, os.getpid()})
        assert both.ours is not None and both.ours > row.ours
    finally:
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                stream.close()
