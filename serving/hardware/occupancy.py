"""How much memory of this machine's devices is free at the moment, and who has the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from serving.hardware.catalogue import MIB
from serving.hardware.detect import NPU_SMI
from serving.hardware.npu import chip_kind
from serving.hardware.npu_smi import read_npu_smi
from serving.hardware.probe import Ask
from serving.hardware.probe import ask as ask_tool
from serving.hardware.profile import CPU, CUDA, NPU

# `nvidia-smi --help-query-gpu` and `--help-query-compute-apps`; numbers are in MiB.
_GPUS = (
    "nvidia-smi",
    "--query-gpu=index,uuid,memory.total,memory.used",
    "--format=csv,noheader,nounits",
)
_GPU_PROCESSES = (
    "nvidia-smi",
    "--query-compute-apps=gpu_uuid,pid,process_name,used_memory",
    "--format=csv,noheader,nounits",
)
# Shares of a device's memory that are in use while nothing runs there: of an NPU 5 %, of a 310P
# chip up to 9 %; a GPU may draw a desktop.
_IDLE = {NPU: 0.12, CUDA: 0.05, CPU: 0.0}
_LARGEST = 3  # processes that are named


@dataclass(frozen=True)
class Occupancy:
    """One device.

    Attributes:
        number: as programs count it; 0 for the CPU.
        total, free: bytes.
        users: who has memory there, the largest first, such as `python (4711)`; empty where that
            is not known.
        idle: whether so little is in use that nothing can run there.
    """

    number: int
    total: int
    free: int
    users: tuple[str, ...] = ()
    idle: bool = False


def occupancy(kind: str, ask: Ask = ask_tool, proc: Path = Path("/proc")) -> tuple[Occupancy, ...]:
    """This machine's devices of a kind, as they are now; empty where nobody tells.

    Args:
        kind: `npu`, `cuda` or `cpu`.
        ask: runs a tool of a driver with a time limit.
        proc: where Linux tells of its memory.
    """
    if kind == NPU:
        return tuple(_npus(ask))
    if kind == CUDA:
        return tuple(_gpus(ask))
    return _cpu(proc) if kind == CPU else ()


def _npus(ask: Ask) -> Iterator[Occupancy]:
    answer = ask(NPU_SMI)
    if answer.problem:
        return
    for chip in read_npu_smi(answer.text).chips:
        unit = 10**6 if chip_kind(chip.name) == "310P" else MIB
        idle = not chip.processes and chip.used <= _IDLE[NPU] * chip.total
        users = tuple(f"{name or 'a process'} ({pid})" for pid, name in chip.processes)
        free = max(0, chip.total - chip.used)
        yield Occupancy(chip.number, chip.total * unit, free * unit, users, idle)


def _gpus(ask: Ask) -> Iterator[Occupancy]:
    answer = ask(_GPUS)
    if answer.problem:
        return
    processes = list(_rows(ask(_GPU_PROCESSES).text))
    for index, uuid, total, used in _rows(answer.text):
        if not (index.isdecimal() and total.isdecimal() and used.isdecimal()):
            continue
        own = [row for row in processes if row[0] == uuid]
        own.sort(key=lambda row: -int(row[3]) if row[3].isdecimal() else 0)
        yield Occupancy(
            int(index),
            int(total) * MIB,
            max(0, int(total) - int(used)) * MIB,
            tuple(f"{Path(name).name} ({pid})" for _, pid, name, _ in own),
            int(used) <= _IDLE[CUDA] * int(total),
        )


def _rows(text: str) -> Iterator[tuple[str, str, str, str]]:
    for line in text.splitlines():
        first, _, rest = line.partition(",")
        second, _, rest = rest.partition(",")
        third, _, fourth = rest.rpartition(",")  # a program's name may hold a comma
        if third:
            yield first.strip(), second.strip(), third.strip(), fourth.strip()


def _cpu(proc: Path) -> tuple[Occupancy, ...]:
    try:
        lines = (proc / "meminfo").read_text().splitlines()
    except OSError:
        return ()
    told = {line.partition(":")[0]: line.partition(":")[2].split() for line in lines}
    try:
        total, free = int(told["MemTotal"][0]) * 1024, int(told["MemAvailable"][0]) * 1024
    except (KeyError, IndexError, ValueError):
        return ()
    limit, left = _container()
    if limit is not None and limit < total:
        total, free = limit, min(free, left)
    return (Occupancy(0, total, free, _largest()),)


def _container(folder: Path = Path("/sys/fs/cgroup")) -> tuple[int | None, int]:
    """A container's limit and what is left of it; what only caches files can be had back."""
    try:
        limit = int((folder / "memory.max").read_text())
        used = int((folder / "memory.current").read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return limit, max(0, limit - used + int(stat.get("inactive_file", 0)))
    except (OSError, ValueError):
        return None, 0  # no cgroup v2, or no limit ("max")


def _largest() -> tuple[str, ...]:
    import psutil

    found = []
    for process in psutil.process_iter(["name", "memory_info"]):
        memory = process.info["memory_info"]
        if memory is not None:
            found.append((memory.rss, process.info["name"] or "a process", process.pid))
    found.sort(reverse=True)
    return tuple(f"{name} ({pid}, {size / 2**30:.1f} GiB)" for size, name, pid in found[:_LARGEST])
