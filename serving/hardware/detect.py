"""Finding out what this machine has: NPUs, else GPUs, else its CPU."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from registry.config import Settings
from registry.finding import WARNING, Finding
from serving.hardware.cpu import detect_cpu
from serving.hardware.npu import choose_npus
from serving.hardware.npu_smi import read_npu_smi
from serving.hardware.nvidia import QUERY, choose_gpus, read_nvidia_smi
from serving.hardware.probe import ABSENT, FAILED, HUNG, Ask
from serving.hardware.probe import ask as ask_tool
from serving.hardware.profile import CUDA, NPU, Hardware
from serving.hardware.visible import shown_devices

NPU_SMI = ("npu-smi", "info")
_PROBLEMS = {
    HUNG: "npu-smi did not answer",
    FAILED: "npu-smi failed",
}


@dataclass(frozen=True)
class Detected:
    """What was found: the hardware to plan for, and what is to be said of it."""

    hardware: Hardware
    findings: tuple[Finding, ...] = ()


def detect(
    settings: Settings | None = None,
    *,
    ask: Ask = ask_tool,
    devices: Path = Path("/dev"),
    environ: Mapping[str, str] = os.environ,
) -> Detected:
    """Look at this machine; never raises and takes at most about ten seconds.

    Args:
        settings: not needed yet; where figures of earlier looks may be kept.
        ask: runs a tool of a driver with a time limit.
        devices: where device files are.
        environ: its variables can hide devices, see `serving.hardware.visible`.

    Returns:
        The NPUs where some are usable; else the GPUs; else the CPU, with a finding where
        something says that there should be more, an error where the environment hides all.
    """
    del settings
    host = detect_cpu()
    npus, findings = _npus(ask, devices, environ)
    if npus is not None:
        return Detected(replace(npus, cores=host.cores), findings)
    gpus, more = detect_cuda(ask=ask, environ=environ)
    findings += more
    if gpus is not None:
        return Detected(replace(gpus, cores=host.cores), findings)
    return Detected(host, findings)


def detect_cuda(
    *, ask: Ask = ask_tool, environ: Mapping[str, str] = os.environ
) -> tuple[Hardware | None, tuple[Finding, ...]]:
    """This machine's GPUs; None where nvidia-smi shows none, or CUDA_VISIBLE_DEVICES hides all."""
    answer = ask(QUERY)
    if answer.problem == ABSENT:
        return None, ()
    if answer.problem:
        # Machines without a GPU can have the tool all the same; that is no reason to worry.
        return None, (
            Finding(
                "nvidia-smi",
                WARNING,
                f"nvidia-smi gave no answer ({answer.detail})",
                "If this machine has GPUs, look at the driver, or say --hardware cuda:NAME .",
            ),
        )
    gpus, unread = read_nvidia_smi(answer.text)
    seen = shown_devices(CUDA, [gpu.number for gpu in gpus], environ, ask)
    if seen.numbers is not None:
        gpus = tuple(gpu for gpu in gpus if gpu.number in seen.numbers)
    hardware, findings = choose_gpus(gpus, unread, seen.numbers)
    return hardware, (*seen.findings, *findings)


def _npus(
    ask: Ask, devices: Path, environ: Mapping[str, str]
) -> tuple[Hardware | None, tuple[Finding, ...]]:
    answer = ask(NPU_SMI)
    files = sorted(path.name for path in devices.glob("davinci[0-9]*"))
    if answer.problem == ABSENT:
        if not files:
            return None, ()
        return None, (
            Finding(
                "npu-smi",
                WARNING,
                f"There are NPUs ({devices}/{files[0]} and {len(files) - 1} more), but npu-smi is "
                "not on the PATH, so they were not looked at",
                "In a container, mount /usr/local/bin/npu-smi and /usr/local/Ascend/driver; or "
                "say what it is with --hardware, such as --hardware A3 .",
            ),
        )
    if answer.problem:
        return None, (
            Finding(
                "npu-smi",
                WARNING,
                f"{_PROBLEMS[answer.problem]} ({answer.detail}), so the NPUs were not looked at",
                "Look at the driver (`npu-smi info`, dmesg), or say --hardware, such as "
                "--hardware A2 .",
            ),
        )
    reading = read_npu_smi(answer.text)
    seen = shown_devices(NPU, [chip.number for chip in reading.chips], environ, ask)
    hardware, findings = choose_npus(reading, seen.numbers)
    findings = (*seen.findings, *findings)
    if not reading.chips and not findings:
        lines = [line.strip() for line in answer.text.splitlines() if line.strip()]
        shown = repr(lines[0][:100]) if lines else "nothing"
        findings = (
            Finding(
                "npu-smi",
                WARNING,
                f"npu-smi printed no table of NPUs, but {shown}",
                "Look at the driver (`npu-smi info`), or say --hardware, such as --hardware A2 .",
            ),
        )
    return hardware, findings
