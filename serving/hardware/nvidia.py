"""This machine's NVIDIA GPUs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from registry.finding import WARNING, Finding
from serving.hardware.catalogue import CUDA_SHARE, MIB, PROFILES
from serving.hardware.profile import CUDA, Hardware, number_text

QUERY = (
    "nvidia-smi",
    "--query-gpu=index,name,memory.total,memory.used",
    "--format=csv,noheader,nounits",
)
# A GPU that only draws a desktop uses less.
_IDLE_SHARE = 0.05


@dataclass(frozen=True)
class Gpu:
    """One row of nvidia-smi's table; memory in MiB."""

    number: int
    name: str
    total: int
    used: int


def read_nvidia_smi(text: str) -> tuple[tuple[Gpu, ...], tuple[str, ...]]:
    """The GPUs, and lines that made no sense."""
    found: list[Gpu] = []
    unread: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if not line.strip() or cells[0] == "index":
            continue
        numbers = [cell.removesuffix(" MiB") for cell in cells[2:4]]
        if len(cells) < 4 or not cells[0].isdecimal() or not numbers[0].isdecimal():
            unread.append(line.strip())
        else:
            used = int(numbers[1]) if numbers[1].isdecimal() else 0
            found.append(Gpu(int(cells[0]), cells[1], int(numbers[0]), used))
    return tuple(found), tuple(unread)


def choose_gpus(
    gpus: tuple[Gpu, ...], unread: tuple[str, ...] = (), shown: tuple[int, ...] | None = None
) -> tuple[Hardware | None, tuple[Finding, ...]]:
    """The profile of this machine's GPUs, of the kind that it has most of.

    Args:
        gpus: that programs can see.
        unread: lines of nvidia-smi that made no sense.
        shown: their numbers in the environment's order, where it hides some or orders them.
    """
    findings = []
    if unread:
        findings.append(
            Finding(
                "nvidia-smi",
                WARNING,
                f"nvidia-smi printed what could not be read: {unread[0][:100]!r}",
                "Look at `nvidia-smi` yourself, and say --hardware cuda:NAME if GPUs are missing.",
            )
        )
    if not gpus:
        return None, tuple(findings)
    (name, total), _ = Counter((gpu.name, gpu.total) for gpu in gpus).most_common(1)[0]
    chosen = [gpu for gpu in gpus if (gpu.name, gpu.total) == (name, total)]
    others = [gpu for gpu in gpus if gpu not in chosen]
    if others:
        names = ", ".join(sorted({gpu.name for gpu in others}))
        findings.append(
            Finding(
                "gpu-mixed",
                WARNING,
                f"This machine has different GPUs: {len(chosen)} × {name} are used, "
                f"{len(others)} others ({names}) are left out",
                "One launch needs equal GPUs; choose them with --devices .",
            )
        )
    busy = [gpu for gpu in chosen if gpu.used > _IDLE_SHARE * gpu.total]
    if busy:
        numbers = number_text([gpu.number for gpu in busy])
        findings.append(
            Finding(
                "gpu-busy",
                WARNING,
                f"GPU {numbers} is in use: {busy[0].used} of {busy[0].total} MiB on GPU "
                f"{busy[0].number}",
                "Stop what runs there, or choose others with --devices .",
                numbers,
            )
        )
    numbers_used = tuple(gpu.number for gpu in chosen)
    if shown is not None:
        numbers_used = tuple(number for number in shown if number in numbers_used)
    elif numbers_used == tuple(range(len(chosen))):
        numbers_used = ()
    hardware = Hardware(
        name=f"{len(chosen)} × {name}",
        kind=CUDA,
        devices=len(chosen),
        memory=int(total * MIB * CUDA_SHARE),
        cores=0,
        chip=_chip(name),
        product=name,
        numbers=numbers_used,
        shown=shown or (),
    )
    return hardware, tuple(findings)


def _chip(name: str) -> str:
    """The profile's chip that a GPU's name holds: `H100` for `NVIDIA H100 80GB HBM3`."""
    plain = name.upper().replace(" ", "")
    rows = sorted({row.chip for row in PROFILES if row.kind == CUDA}, key=len, reverse=True)
    return next((chip for chip in rows if chip.partition("-")[0] in plain), name)
