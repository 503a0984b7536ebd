"""What must be equal on all nodes: the artifact and the plan, but for what is each node's own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from serving.plan import Plan

# A node's own: where its files lie, where it listens, which of its devices it uses.
_OWN = frozenset({
    "--model", "--served-model-name", "--host", "--port",
    "ASCEND_RT_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES",
})  # fmt: skip
MOST = 512  # terms that a plan can have


def terms_of(plan: Plan) -> dict[str, str]:
    """The plan's terms by name, each as a digest: equal terms show, and no value leaves a node.

    Args:
        plan: for all nodes, before a node's own address is put in.
    """
    values = {
        "digest of the artifact": plan.digest,
        "engine": plan.engine,
        "release of the engine": plan.release,
        "kind of NPU": plan.chip,
        "number of nodes": str(plan.nodes),
    }
    for flag in plan.flags:
        if flag.name not in _OWN:
            value = "\0".join([flag.value or "", *flag.more])
            values[flag.name] = f"{values.get(flag.name, '')}\0{value}"
    for node, flags in enumerate(plan.node_flags):
        text = "\0".join(f"{flag.name}\0{flag.value}" for flag in flags)
        values[f"arguments of node {node}"] = text
    return {name: hashlib.sha256(value.encode()).hexdigest() for name, value in values.items()}


def differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """Names of terms that two nodes do not share."""
    return sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
