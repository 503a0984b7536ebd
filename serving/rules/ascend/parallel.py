"""Flags that spread the model over devices and nodes."""

from __future__ import annotations

from collections.abc import Iterator

from serving.plan import ARTIFACT, HARDWARE, USER, Flag
from serving.rules.situation import Situation

# Stands for the first node's address where the user did not give it; scripts ask for it.
FIRST_NODE = "FIRST_NODE_ADDRESS"
_RPC_PORT = "13389"
_MASTER_PORT = "29501"


def tensor_parallel(s: Situation) -> Iterator[Flag]:
    layout = s.fit.layout
    reason = s.fit.why or f"{layout.tensor} device(s) share each layer"
    if s.facts.tensor_parallel:
        reason = f"the weights were saved for {s.facts.tensor_parallel} rank(s)"
    yield Flag(
        "--tensor-parallel-size",
        str(layout.tensor),
        reason,
        ARTIFACT if s.facts.tensor_parallel else HARDWARE,
    )


def data_parallel(s: Situation) -> Iterator[Flag]:
    layout = s.fit.layout
    if layout.data > 1:
        yield Flag(
            "--data-parallel-size",
            str(layout.data),
            f"{layout.data} replicas of attention, each with {layout.tensor} devices and sequences "
            "of its own",
            HARDWARE,
        )


def pipeline_parallel(s: Situation) -> Iterator[Flag]:
    layout = s.fit.layout
    if layout.pipeline > 1:
        yield Flag(
            "--pipeline-parallel-size",
            str(layout.pipeline),
            "one node is too small, and layers can only be split over nodes",
            HARDWARE,
        )


def expert_parallel(s: Situation) -> Iterator[Flag]:
    if s.fit.layout.experts:
        a = s.facts.architecture
        yield Flag(
            "--enable-expert-parallel",
            None,
            f"{a.experts} experts stay whole, spread over {s.fit.layout.expert_ranks} ranks",
            ARTIFACT,
            evidence="532 of 558 launches of mixtures of experts; split, their matrices get thin",
        )


def nodes(s: Situation) -> tuple[tuple[Flag, ...], ...]:
    """What each node's command has besides; empty for one node."""
    count, layout = s.fit.layout.nodes, s.fit.layout
    if count < 2 or layout.devices <= s.hardware.devices:
        return ()
    address = s.wishes.address or FIRST_NODE
    source = USER if s.wishes.address else HARDWARE
    where = Flag("--data-parallel-address", address, "where the first node listens", source)
    if layout.pipeline > 1:
        return tuple(_stage(s, node, address, source) for node in range(count))
    local = max(1, layout.data // count)
    share = Flag(
        "--data-parallel-size-local", str(local), f"replicas on each of {count} nodes", HARDWARE
    )
    port = Flag("--data-parallel-rpc-port", _RPC_PORT, "the replicas' meeting point", HARDWARE)
    first = (share, where, port)
    others = []
    for node in range(1, count):
        start = Flag(
            "--data-parallel-start-rank", str(node * local), "its first replica's number", HARDWARE
        )
        headless = Flag("--headless", None, "requests go to the first node", HARDWARE)
        others.append((share, start, where, port, headless))
    return (first, *others)


def _stage(s: Situation, node: int, address: str, source: str) -> tuple[Flag, ...]:
    flags = [
        Flag("--nnodes", str(s.fit.layout.nodes), "stages of the pipeline", HARDWARE),
        Flag("--node-rank", str(node), "this node's number", HARDWARE),
        Flag("--master-addr", address, "where the first node listens", source),
        Flag("--master-port", _MASTER_PORT, "the stages' meeting point", HARDWARE),
    ]
    if node:
        flags.append(Flag("--headless", None, "requests go to the first node", HARDWARE))
    return tuple(flags)
