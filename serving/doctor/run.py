"""What there is to look at before a launch on this machine."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from registry.config import Settings
from registry.doctor import ERROR, OK, WARNING, Check, Look
from registry.doctor.check import LIMIT
from registry.errors import QregError
from serving.doctor import cann, devices, engines, launch, system
from serving.engines import ENGINES, engine_for
from serving.hardware import Detected, detect, parse_devices
from serving.hardware.detect import NPU_SMI
from serving.hardware.npu_smi import read_npu_smi
from serving.hardware.nvidia import QUERY, read_nvidia_smi
from serving.hardware.probe import ask as ask_tool
from serving.hardware.visible import VISIBLE
from serving.plan import Plan

_ask = functools.partial(ask_tool, limit=LIMIT)
_MIB = 2**20


def serving_looks(
    settings: Settings, *, engine: str = "", numbers: str = "", host: str, port: int, asked: bool
) -> tuple[Look, ...]:
    """Devices, drivers, the engine, toolchains, limits and the port.

    Args:
        settings: where toolchains are.
        engine: that shall run; by default the one for the hardware that is here.
        numbers: of the devices that shall be used, `0-7`; all by default.
        host: to listen on.
        port: to listen on.
        asked: whether a launch is meant, and not only the machine.

    Raises:
        UsageError: `numbers` is no list of devices.
    """
    wanted = parse_devices(numbers) if numbers else ()
    found = detect(ask=_ask)
    if shown := found.hardware.shown:  # what is chosen is counted among these
        wanted = tuple(shown[n] for n in wanted if n < len(shown)) or shown
    name = engine or engine_for(found.hardware)
    kind = next((kind for kind, other in ENGINES.items() if other == name), found.hardware.kind)
    # How many workers there will be, the plan says; without one nobody knows.
    memory = () if asked else (Look("shared-memory", system.shared_memory),)
    return (
        Look("devices", lambda: _devices(kind, found, wanted, asked=bool(engine))),
        Look("engine", lambda: _engine(name, kind, settings)),
        Look("toolchains", lambda: engines.toolchains(settings, name)),
        *memory,
        Look("open-files", lambda: (system.open_files(),)),
        Look("locked-memory", lambda: system.locked_memory(kind)),
        Look("port", lambda: (system.port(host, port, asked=asked),)),
    )


def launch_looks(
    make: Callable[[], Plan], reference: str, settings: Settings, *, here: bool, numbers: str = ""
) -> tuple[Look, ...]:
    """A launch that is wanted: its plan, what is free for it, what has to be brought here.

    Args:
        make: plans it.
        reference: of the artifact.
        settings: name the cache.
        here: whether it shall run on this machine's hardware.
        numbers: of the devices that shall be used, `0-7`; all by default.
    """
    return (Look("plan", lambda: _launch(make, reference, settings, here, numbers)),)


def _launch(
    make: Callable[[], Plan], reference: str, settings: Settings, here: bool, numbers: str
) -> Iterator[Check]:
    try:
        plan = make()
    except QregError as error:
        yield Check("plan", ERROR, error.message, error.remedy, reference)
        yield from system.shared_memory()
        return
    yield from launch.plan(plan)
    yield from system.shared_memory(ranks_of(plan) if here else None)
    if here:
        yield from launch.free_memory(plan, _free(plan, numbers))
    if not Path(plan.folder).is_absolute():
        from registry.resolve import resolve

        size = sum(entry.size for entry in resolve(reference, settings).source.entries())
        yield launch.disk(settings, size, plan.artifact)


def _devices(
    kind: str, found: Detected, wanted: Collection[int], *, asked: bool
) -> Iterator[Check]:
    """What devices there are, and how they are; NPUs also where none of them can be used.

    Args:
        kind: `npu`, `cuda` or `cpu`, of the engine.
        found: the hardware that is here.
        wanted: numbers of the devices that shall be used.
        asked: whether the user chose the engine; then other devices do not matter.
    """
    yield Check("hardware", OK, f"This machine is {found.hardware.name}")
    if kind == "cpu" and asked:
        return
    npus = _ask(NPU_SMI)
    seen = tuple(devices.npus(npus, wanted if kind == "npu" else ()))
    yield from seen
    for finding in found.findings:
        if kind == "cpu" and not seen:
            yield Check(finding.id, WARNING, finding.message, finding.fix)
    if kind == "npu":
        yield from devices.npu_driver()
    if kind == "cuda":
        yield from devices.gpus(_ask(QUERY), _ask(devices.DRIVER), wanted)


def _engine(name: str, kind: str, settings: Settings) -> Iterator[Check]:
    version = ""
    if kind == "npu":
        yield from cann.cann(os.environ)
        home = cann.home_of_cann(os.environ)
        version = cann.cann_version(home) if home else ""
    yield from engines.engine(name, settings, version)


def _free(plan: Plan, numbers: str) -> dict[str, int]:
    """Bytes that are free now, by device that the plan uses."""
    if plan.engine == ENGINES["npu"]:
        chips = read_npu_smi(_ask(NPU_SMI).text).chips
        rows = {chip.number: ("NPU", chip.total - chip.used) for chip in chips}
    elif plan.engine == ENGINES["cuda"]:
        gpus, _ = read_nvidia_smi(_ask(QUERY).text)
        rows = {gpu.number: ("GPU", gpu.total - gpu.used) for gpu in gpus}
    elif plan.engine == ENGINES["cpu"]:
        import psutil

        return {"memory": psutil.virtual_memory().available}
    else:
        return {}
    told = [plan.value(name) or "" for name in VISIBLE.values() if plan.value(name)]
    if told and all(number.isdecimal() for number in told[0].split(",")):
        here: Sequence[int] = [int(number) for number in told[0].split(",")]
    else:
        here = parse_devices(numbers) if numbers else sorted(rows)
    chosen = used_devices(plan, here)
    found = {number: rows[number] for number in chosen if number in rows}
    return {f"{kind} {number}": free * _MIB for number, (kind, free) in found.items()}


def used_devices(plan: Plan, numbers: Sequence[int]) -> tuple[int, ...]:
    """The devices of a node that a plan uses: the first ones, one for each rank."""
    return tuple(numbers)[: ranks_of(plan)]


def ranks_of(plan: Plan) -> int:
    """The ranks of a plan on its fullest node, each with a worker and a device of its own."""
    sizes = plan.parallel
    ranks = sizes.get("tensor", 1) * sizes.get("data", 1) * sizes.get("pipeline", 1)
    return max(1, -(-ranks // plan.nodes))
