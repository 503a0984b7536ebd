"""Health and free memory of NPUs and GPUs, from what their drivers' tools print."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from registry.doctor import ERROR, OK, UNKNOWN, WARNING, Check
from serving.hardware.npu import chip_kind
from serving.hardware.npu_smi import Chip, read_npu_smi
from serving.hardware.nvidia import Gpu, read_nvidia_smi
from serving.hardware.probe import ABSENT, Answer
from serving.hardware.profile import number_text

_GIB_OF_MB = 1024
_USABLE = ("OK", "Warning")
# An idle 64 GB NPU shows 5 % of its memory in use, a 310P chip up to 9 %; a desktop's GPU 5 %.
_IDLE_NPU, _IDLE_GPU = 0.15, 0.05
# Columns of `nvidia-smi --query-gpu` that one look asks for besides those of `hardware.nvidia`.
DRIVER = ("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")


def npus(answer: Answer, wanted: Collection[int] = ()) -> Iterator[Check]:
    """What `npu-smi info` says of each NPU.

    Args:
        answer: of the tool.
        wanted: numbers of the devices that are to be used; all where none is named.
    """
    if answer.problem == ABSENT:
        return
    if answer.problem:
        yield Check(
            "npu-driver", ERROR, f"npu-smi gives no answer ({answer.detail})",
            "Look at the driver: `npu-smi info`, `dmesg | grep -i davinci`; in a container mount "
            "/usr/local/Ascend/driver, /usr/local/dcmi and /dev/davinci* .",
        )  # fmt: skip
        return
    reading = read_npu_smi(answer.text)
    chips = [chip for chip in reading.chips if not wanted or chip.number in wanted]
    for line in reading.unread:
        yield Check(
            "npu-table", UNKNOWN, f"npu-smi printed what could not be read: {line[:100]!r}",
            "Look at `npu-smi info` yourself, and report the line.",
        )  # fmt: skip
    if not chips:
        yield Check(
            "npu-health", ERROR, "npu-smi shows no NPU"
            + (f" of the numbers {number_text(sorted(wanted))}" if wanted else ""),
            "Look at `npu-smi info`; in a container, hand in the devices.",
        )  # fmt: skip
        return
    yield from _health(chips, bool(wanted))
    yield from _npu_memory(chips)


def _health(chips: list[Chip], wanted: bool) -> Iterator[Check]:
    sound = [chip for chip in chips if chip.health in _USABLE]
    for chip in chips:
        where = f"NPU {chip.number}"
        if chip.health not in _USABLE:
            idle = number_text([c.number for c in sound])
            yield Check(
                "npu-health", ERROR if wanted or not sound else WARNING,
                f"{where} is in state {chip.health}",
                f"See `npu-smi info -t health -i {chip.board} -c {chip.slot}`; reset it or reboot."
                + (f" Until then: --devices {idle} ." if sound else ""),
                where,
            )  # fmt: skip
        elif chip.health != "OK":
            yield Check(
                "npu-health", WARNING, f"{where} is in state {chip.health}; it can be used",
                f"See `npu-smi info -t health -i {chip.board} -c {chip.slot}`.", where,
            )  # fmt: skip
    well = [chip.number for chip in chips if chip.health == "OK"]
    if well:
        kinds = sorted({chip_kind(chip.name) or chip.name for chip in chips})
        yield Check(
            "npu-health", OK,
            f"{len(well)} of {len(chips)} NPUs are healthy ({', '.join(kinds)})", "",
            f"NPU {number_text(well)}",
        )  # fmt: skip


def _npu_memory(chips: list[Chip]) -> Iterator[Check]:
    busy = [c for c in chips if c.processes or c.used > _IDLE_NPU * c.total]
    for chip in busy:
        names = sorted({f"{name} ({pid})" for pid, name in chip.processes})
        by = f" by {', '.join(names)}" if names else ""
        free = (chip.total - chip.used) / _GIB_OF_MB
        yield Check(
            "npu-memory", WARNING,
            f"NPU {chip.number} is in use{by}: {free:.1f} of {chip.total / _GIB_OF_MB:.1f} GiB "
            "are free",
            "End what runs there, or choose others with --devices .", f"NPU {chip.number}",
        )  # fmt: skip
    idle = [chip for chip in chips if chip not in busy]
    if idle:
        least = min((chip.total - chip.used) / _GIB_OF_MB for chip in idle)
        numbers = number_text([chip.number for chip in idle])
        yield Check("npu-memory", OK, f"At least {least:.1f} GiB are free", "", f"NPU {numbers}")


def npu_driver(folder: Path = Path("/usr/local/Ascend")) -> Iterator[Check]:
    """Versions of the NPU driver and firmware, from their `version.info`."""
    from serving.doctor.cann import version_in

    for part in ("driver", "firmware"):
        path = folder / part / "version.info"
        version = version_in(path)
        if version:
            yield Check(
                f"npu-{part}", OK,
                f"The {part} is {version}; vLLM Ascend's documents name none, CANN's release notes "
                "say which it needs",
                "", str(path),
            )  # fmt: skip
        elif part == "driver":
            yield Check(
                "npu-driver", UNKNOWN, f"{path} does not tell the driver's version",
                "In a container, mount /usr/local/Ascend/driver/version.info .", str(path),
            )  # fmt: skip


def gpus(answer: Answer, driver: Answer, wanted: Collection[int] = ()) -> Iterator[Check]:
    """What nvidia-smi says of each GPU.

    Args:
        answer: of the tool to `hardware.nvidia.QUERY`.
        driver: of the tool to `DRIVER`.
        wanted: numbers of the devices that are to be used; all where none is named.
    """
    if answer.problem == ABSENT:
        return
    if answer.problem:
        yield Check(
            "gpu-driver", WARNING, f"nvidia-smi gives no answer ({answer.detail})",
            "If this machine has GPUs, look at the driver: `nvidia-smi`, dmesg.",
        )  # fmt: skip
        return
    found, unread = read_nvidia_smi(answer.text)
    chosen = [gpu for gpu in found if not wanted or gpu.number in wanted]
    for line in unread:
        yield Check(
            "gpu-table", UNKNOWN, f"nvidia-smi printed what could not be read: {line[:100]!r}",
            "Look at `nvidia-smi` yourself.",
        )  # fmt: skip
    version = driver.text.strip().splitlines()[:1] if not driver.problem else []
    if version and chosen:
        names = ", ".join(sorted({gpu.name for gpu in chosen}))
        yield Check("gpu-driver", OK, f"Driver {version[0]} sees {len(chosen)} × {names}")
    for gpu in chosen:
        yield _gpu_memory(gpu)


def _gpu_memory(gpu: Gpu) -> Check:
    free, total = (gpu.total - gpu.used) / _GIB_OF_MB, gpu.total / _GIB_OF_MB
    where = f"GPU {gpu.number}"
    if gpu.used > _IDLE_GPU * gpu.total:
        return Check(
            "gpu-memory", WARNING,
            f"{where} is in use: {free:.1f} of {total:.1f} GiB are free",
            "End what runs there, or choose others with --devices .", where,
        )  # fmt: skip
    return Check("gpu-memory", OK, f"{free:.1f} of {total:.1f} GiB are free", "", where)
