"""The devices that a variable of the environment lets programs see.

Programs count those that they see anew, from 0, in the order of the variable. So does `--devices`,
as `--device` of a ModelSlim run does; a plan names them by the machine's own numbers.

CUDA reads numbers and beginnings of UUIDs; what follows one that it cannot find is not seen, and an
empty value hides all ("CUDA C++ Programming Guide", Environment Variables). CANN reads numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from registry.finding import ERROR, INFO, WARNING, Finding
from serving.hardware.probe import Ask
from serving.hardware.profile import CUDA, NPU, number_text

VISIBLE = {NPU: "ASCEND_RT_VISIBLE_DEVICES", CUDA: "CUDA_VISIBLE_DEVICES"}
UUIDS = ("nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader")
_WHAT = {NPU: "NPU", CUDA: "GPU"}


@dataclass(frozen=True)
class Shown:
    """What a variable shows.

    Attributes:
        numbers: of the devices, as the driver counts them, in the variable's order; None where
            nothing is hidden.
        findings: what is to be said of it; an error where nothing is left.
    """

    numbers: tuple[int, ...] | None = None
    findings: tuple[Finding, ...] = ()


def shown_devices(kind: str, there: Sequence[int], environ: Mapping[str, str], ask: Ask) -> Shown:
    """What the variable of a kind of device shows.

    Args:
        kind: `npu` or `cuda`.
        there: numbers of the machine's devices.
        environ: of this process.
        ask: runs nvidia-smi, for UUIDs.
    """
    name, what = VISIBLE[kind], _WHAT[kind]
    if name not in environ or not there:
        return Shown()
    value = environ[name].strip()
    entries = [entry.strip() for entry in value.split(",")] if value else []
    uuids = _uuids(ask) if any(entry[:4] == "GPU-" for entry in entries) else {}
    numbers: list[int] = []
    bad = ""
    for entry in entries:
        number = _number(entry, uuids)
        if number is None or number not in there or number in numbers:
            bad = entry
            break
        numbers.append(number)
    if not numbers:
        return Shown((), (_none(name, what, value, bad, len(there)),))
    findings = []
    if bad:
        findings.append(
            Finding(
                "visible-devices",
                WARNING,
                f"{name} names {bad!r}, which is no other {what} of this machine: it and what "
                "follows it do not count",
                f"Correct {name}; the {what}s here are {number_text(there)}.",
            )
        )
    if len(numbers) < len(there):
        findings.append(
            Finding(
                "visible-devices",
                INFO,
                f"Only {what} {number_text(numbers)} of {len(there)} are shown: {name}={value}",
                "--devices counts among them, from 0; unset the variable to use all.",
                number_text(numbers),
            )
        )
    return Shown(tuple(numbers), tuple(findings))


def _none(name: str, what: str, value: str, bad: str, there: int) -> Finding:
    text = f"{name}={value}" if value else f"{name} is set to nothing"
    if bad.startswith("MIG-"):
        return Finding(
            "visible-devices",
            ERROR,
            f"{text} names a part of a GPU (MIG), and its memory is not known",
            "Plan for what it is like with --hardware cuda:NAME and -- --gpu-memory-utilization .",
        )
    return Finding(
        "visible-devices",
        ERROR,
        f"{text} hides all {there} {what}s of this machine",
        "Unset it, or name some of them; to use the CPU say --engine vllm-cpu .",
    )


def _number(entry: str, uuids: Mapping[str, int]) -> int | None:
    if entry.isdecimal():
        return int(entry)
    found = {number for uuid, number in uuids.items() if uuid.startswith(entry)}
    return found.pop() if entry[:4] == "GPU-" and len(found) == 1 else None


def _uuids(ask: Ask) -> dict[str, int]:
    found = {}
    for line in ask(UUIDS).text.splitlines():
        number, _, uuid = (cell.strip() for cell in line.partition(","))
        if number.isdecimal():
            found[uuid] = int(number)
    return found
