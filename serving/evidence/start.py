"""Keeping what a start of the engine on this machine showed, alone or as one of several nodes."""

from __future__ import annotations

from registry.config import Settings
from registry.errors import Interrupted, QregError
from registry.progress import Observer, ignore
from serving.engines import ENGINES
from serving.evidence.engine_log import StartWatch
from serving.evidence.memory import measure
from serving.evidence.record import Launch, keep_launch
from serving.identity import process_tree
from serving.plan import Plan
from toolchains import Tool


def keep_ready(
    identity: str,
    plan: Plan,
    tool: Tool,
    watch: StartWatch,
    settings: Settings,
    *,
    node: int = 0,
    observe: Observer = ignore,
) -> None:
    """Keep that a start came to its end, and what the devices hold now.

    Args:
        identity: of the launch.
        plan: of all nodes.
        tool: processes and log of the engine here.
        watch: followed its log.
        settings: name the data folder and MLflow.
        node: this one's number.
        observe: is told if it could not be kept.
    """
    figures = watch.figures()
    seconds = watch.seconds
    memory = measure(_kind(plan), process_tree(tool.supervisor_pid))
    keep_launch(Launch(identity, plan, figures, memory, seconds, node), settings, observe=observe)


def keep_failed(
    identity: str,
    plan: Plan,
    tool: Tool,
    watch: StartWatch,
    settings: Settings,
    cause: Exception | None,
    *,
    node: int = 0,
    observe: Observer = ignore,
) -> None:
    """Keep why a start failed. Of one that somebody interrupted nothing is kept.

    Args:
        identity: of the launch.
        plan: of all nodes.
        tool: processes and log of the engine here.
        watch: followed its log.
        settings: name the data folder and MLflow.
        cause: what ended it first, on whatever node; None if nothing failed.
        node: this one's number.
        observe: is told if it could not be kept.
    """
    if not isinstance(cause, QregError) or isinstance(cause, Interrupted):
        return
    for line in tool.lines():  # what it wrote when it died
        watch.see(line)
    seen = Launch(identity, plan, watch.figures(), (), watch.seconds, node)
    keep_launch(seen, settings, cause, observe)


def _kind(plan: Plan) -> str:
    """`npu`, `cuda` or `cpu`; empty for engines of others."""
    return next((kind for kind, name in ENGINES.items() if name == plan.engine), "")
