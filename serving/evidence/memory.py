"""Memory that a running engine holds: of each device by its driver's tool, of a CPU by Linux."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.hardware.catalogue import MIB
from serving.hardware.detect import NPU_SMI
from serving.hardware.npu_smi import Chip, read_npu_smi
from serving.hardware.probe import Ask
from serving.hardware.probe import ask as ask_tool

# `nvidia-smi --help-query-gpu` and `--help-query-compute-apps` name these columns.
GPUS = (
    "nvidia-smi",
    "--query-gpu=index,uuid,memory.total,memory.used",
    "--format=csv,noheader,nounits",
)
GPU_PROCESSES = (
    "nvidia-smi",
    "--query-compute-apps=gpu_uuid,pid,used_memory",
    "--format=csv,noheader,nounits",
)
_KIB = 1024


@dataclass(frozen=True)
class DeviceMemory:
    """Memory of one device while the engine runs, in bytes.

    Attributes:
        number: of the device; 0 for a CPU.
        used: by everybody; None where it is not told.
        total: that there is; None where it is not told.
        ours: by the engine's processes; None where the tool cannot tell them, as for processes of
            a container that it knows by other numbers.
        source: who says so.
    """

    number: int
    used: int | None
    total: int | None
    ours: int | None
    source: str

    def to_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "used": self.used,
            "total": self.total,
            "ours": self.ours,
            "source": self.source,
        }


def measure(
    kind: str, processes: Collection[int], *, ask: Ask = ask_tool, proc: Path = Path("/proc")
) -> tuple[DeviceMemory, ...]:
    """What the devices of a machine hold now.

    Args:
        kind: `npu`, `cuda` or `cpu`; of others nothing is known.
        processes: ids of the engine's processes.
        ask: runs a driver's tool with a time limit.
        proc: Linux's folder of processes.

    Returns:
        The devices that the engine's processes are on; all of them where the tool cannot tell
        whose is whose; none where there is no answer.
    """
    if kind == "cpu":
        return of_processes(processes, proc)
    if kind == "npu":
        answer = ask(NPU_SMI)
        rows = of_npus(read_npu_smi(answer.text).chips, processes)
    elif kind == "cuda":
        rows = of_gpus(ask(GPUS).text, ask(GPU_PROCESSES).text, processes)
    else:
        rows = ()
    ours = tuple(row for row in rows if row.ours is not None)
    return ours or rows


def of_npus(chips: Collection[Chip], processes: Collection[int]) -> tuple[DeviceMemory, ...]:
    """Devices as npu-smi shows them; it counts in MB of 2^20 bytes."""
    rows = []
    for chip in chips:
        held = [size for pid, size in chip.held if pid in processes]
        ours = sum(held) * MIB if held else None
        rows.append(
            DeviceMemory(chip.number, chip.used * MIB, chip.total * MIB, ours, "npu-smi info")
        )
    return tuple(rows)


def of_gpus(gpus: str, applications: str, processes: Collection[int]) -> tuple[DeviceMemory, ...]:
    """GPUs from the texts that `GPUS` and `GPU_PROCESSES` print, in MiB."""
    held: dict[str, int] = {}
    for cells in _cells(applications, 3):
        if cells[1].isdecimal() and int(cells[1]) in processes and cells[2].isdecimal():
            held[cells[0]] = held.get(cells[0], 0) + int(cells[2]) * MIB
    return tuple(
        DeviceMemory(
            int(cells[0]), _mebibytes(cells[3]), _mebibytes(cells[2]), held.get(cells[1]),
            "nvidia-smi",
        )
        for cells in _cells(gpus, 4)
        if cells[0].isdecimal()
    )  # fmt: skip


def of_processes(
    processes: Collection[int], proc: Path = Path("/proc")
) -> tuple[DeviceMemory, ...]:
    """Resident memory of processes; pages that they share count once (PSS)."""
    total = 0
    for pid in processes:
        try:
            text = (proc / str(pid) / "smaps_rollup").read_text()
        except OSError:
            continue  # it has ended, or is another user's
        total += sum(
            int(line.split()[1]) * _KIB for line in text.splitlines() if line.startswith("Pss:")
        )
    if not total:
        return ()
    return (DeviceMemory(0, None, None, total, "/proc: proportional set size"),)


def _cells(text: str, count: int) -> list[list[str]]:
    rows = [[cell.strip() for cell in line.split(",")] for line in text.splitlines()]
    return [row for row in rows if len(row) == count]


def _mebibytes(text: str) -> int | None:
    return int(text) * MIB if text.isdecimal() else None
