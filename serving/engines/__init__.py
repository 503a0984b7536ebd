"""Engines: what runs a model. `open_engine` finds one by name."""

from __future__ import annotations

from registry.errors import NotFoundError
from serving.engines.interface import Engine as Engine
from serving.hardware import Hardware

PLUGINS = "qreg.engines"
ENGINES = {"cpu": "vllm-cpu", "npu": "vllm-ascend", "cuda": "vllm"}
BUILT_IN = tuple(ENGINES.values())


def open_engine(name: str) -> Engine:
    """An engine by name: a built-in one, or a plug-in of the entry-point group `qreg.engines`."""
    if name == "vllm-cpu":
        from serving.engines.vllm_cpu import VllmCpu

        return VllmCpu()
    if name == "vllm-ascend":
        from serving.engines.vllm_ascend import VllmAscend

        return VllmAscend()
    if name == "vllm":
        from serving.engines.vllm_cuda import VllmCuda

        return VllmCuda()
    from importlib.metadata import entry_points

    for plugin in entry_points(group=PLUGINS, name=name):
        engine: Engine = plugin.load()()
        return engine
    raise NotFoundError(
        f"There is no engine {name!r}",
        remedy=f"There are {', '.join(BUILT_IN)}; others come in as plug-ins of the entry-point "
        f"group {PLUGINS!r}.",
    )


def engine_for(hardware: Hardware) -> str:
    """The name of the engine for some hardware."""
    return ENGINES[hardware.kind]
