"""Flags that spread the model over devices and nodes."""

from __future__ import annotations

from collections.abc import Iterator

from serving.plan import ARTIFACT, HARDWARE, USER, Flag
from serving.rules.node_variables import FIRST_NODE as FIRST_NODE
from serving.rules.node_variables import variables
from serving.rules.situation import Situation

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
    """What each node's command and environment have besides; empty for one node.

    A layout that one node has the devices for is spread all the same where it can be shared evenly:
    the user asked for several nodes.
    """
    count, layout = s.fit.layout.nodes, s.fit.layout
    even = not layout.data % count or not layout.pipeline % count
    if count < 2 or (layout.devices <= s.hardware.devices and not even):
        return ()
    address = s.wishes.address or FIRST_NODE
    source = USER if s.wishes.address else HARDWARE
    own = tuple(variables(s))
    if layout.pipeline > 1:
        return tuple((*_stage(s, node, address, source), *own) for node in range(count))
    where = Flag("--data-parallel-address", address, "where the first node listens", source)
    port = Flag("--data-parallel-rpc-port", _RPC_PORT, "the replicas' meeting point", HARDWARE)
    found, start = [], 0
    for node in range(count):
        local = layout.data // count + (node < layout.data % count)
        flags = [Flag("--data-parallel-size-local", str(local), "replicas on this node", HARDWARE)]
        if node:
            reason = "its first replica's number"
            flags.append(Flag("--data-parallel-start-rank", str(start), reason, HARDWARE))
        flags += [where, port]
        if node:
            flags.append(Flag("--headless", None, "requests go to the first node", HARDWARE))
        found.append((*flags, *own))
        start += local
    return tuple(found)


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
