"""Checks of size: what each rank has to hold."""

from __future__ import annotations

from collections.abc import Iterator

from registry.checkpoint.components import is_quantization_part
from registry.finding import ERROR, INFO, WARNING
from registry.lint.check import ASCEND, Found, check
from registry.lint.subject import Subject
from registry.lint.target import GIB

# Layers that every rank holds whole: MLA's down-projections, the indexer (vllm-ascend 0.23.0).
_REPLICATED = (".q_a_proj.", ".kv_a_proj_with_mqa.", ".indexer.", ".wq_a.", ".wkv.")
# What communication, graphs and activations take beside weights, at least.
_OVERHEAD = 4 * GIB
_UTILIZATION = 0.95  # the highest --gpu-memory-utilization in use


@check(
    "rank-memory",
    ERROR,
    prevents="Out of memory after half an hour of loading.",
    seen=f"{ASCEND}8817, {ASCEND}9372, {ASCEND}9099, {ASCEND}7123, {ASCEND}9894",
    fix="Use more ranks, a chip with more memory, or a smaller scheme.",
)
def rank_memory(subject: Subject) -> Iterator[Found]:
    chip, target = subject.target.chip, subject.target
    if chip is None:
        return
    tp = target.tensor_parallel or chip.devices
    size = bytes_per_rank(subject, tp, tp * target.data_parallel)
    room = int(chip.memory * _UTILIZATION) - _OVERHEAD
    layout = f"TP {tp}" + (f" × DP {target.data_parallel}" if target.data_parallel > 1 else "")
    text = f"{size / GIB:.1f} GiB of weights a rank with {layout}, room for {room / GIB:.1f} GiB"
    if size > room:
        # Without a wish, one node stands for all: more of them may be there.
        severity = ERROR if target.tensor_parallel else WARNING
        yield Found(f"{text} on {chip.name}", layout, severity)
    else:
        yield Found(f"{text} on {chip.name}", layout, INFO, fix="")


def bytes_per_rank(subject: Subject, tensor_parallel: int, ranks: int) -> int:
    """The weights that one rank holds.

    Args:
        subject: the artifact.
        tensor_parallel: ranks that share attention, dense layers, embedding and head.
        ranks: all of them, which share the routed experts.
    """
    if subject.checkpoint.ranks:  # stored a rank at a time
        return subject.checkpoint.weight_bytes
    total = 0
    components = {x.module: x.component for x in subject.quantization.layers}
    for name, tensor in subject.checkpoint.tensors.items():
        if ".experts." in name:
            total += tensor.size // ranks
        elif (
            name.endswith("norm.weight")
            or any(part in name for part in _REPLICATED)
            or components.get(name.rpartition(".")[0]) in ("router", "vision")
            or (tensor.elements <= 1 and is_quantization_part(name))
        ):
            total += tensor.size
        else:
            total += tensor.size // tensor_parallel
    return total


CHECKS = (rank_memory,)
