"""Which of several layouts that fit serves a goal."""

from __future__ import annotations

from dataclasses import replace

from registry.checkpoint.architecture import Architecture
from serving.fit.cpu import GIB
from serving.fit.fit import Fit
from serving.wishes import CONTEXT, THROUGHPUT

# Weights beyond this share of a device leave little room for sequences.
_COMFORTABLE = 0.6
# A device's share of a dense model's weights below which further ranks gain little: launches of
# vLLM Ascend's tests put Qwen3-32B W8A8 (31 GiB) on four devices and Qwen3.5-27B (28 GiB) on two.
_WORTH_READING = int(7.5 * GIB)


def best_of(fits: list[Fit], a: Architecture, goal: str, *, spread: bool) -> Fit:
    """Of several fits, the one that serves the goal.

    Args:
        fits: at least one; all of them fit.
        a: the model's architecture.
        goal: one of `wishes.GOALS`.
        spread: whether experts are spread over ranks.
    """
    longest = max(fit.max_model_len or 0 for fit in fits)
    # Ranks beyond this hold copies: of KV heads, or of MLA's one vector.
    useful = 8 if a.kv_lora_rank else max(1, a.kv_heads or 8)

    def room(fit: Fit) -> float:
        return fit.memory.kv_cache

    if goal == CONTEXT:
        best = max(fits, key=lambda f: (f.max_model_len or 0, -f.layout.devices, room(f)))
        return replace(best, why="the layout with room for the longest context")
    whole = [fit for fit in fits if (fit.max_model_len or 0) == longest]
    if goal == THROUGHPUT:
        best = max(whole, key=lambda f: (f.max_num_seqs * f.layout.data, -f.layout.tensor))
        return replace(best, why="the layout that serves most sequences of the full context")
    if len({fit.layout for fit in fits}) == 1:
        best = max(whole, key=room)
        one = best.layout.devices == 1
        why = "one device holds weights and context" if one else "the only layout with room"
        return replace(best, why=why)
    if a.is_moe and spread:
        near = [fit for fit in whole if fit.layout.tensor <= useful] or whole
        best = max(near, key=lambda f: (f.layout.devices, f.layout.tensor))
        return replace(
            best, why="as many ranks a layer as hold no copies of the KV cache, for speed"
        )
    comfortable = [fit for fit in whole if fit.memory.weights <= _COMFORTABLE * fit.memory.capacity]
    fewest = min(comfortable or whole, key=lambda f: (f.layout.devices, f.layout.pipeline))
    worth = [
        fit
        for fit in comfortable
        if fit.memory.weights >= _WORTH_READING and fit.layout.tensor <= useful
    ]
    if not worth or fewest.layout.pipeline > 1:
        why = "the fewest devices that hold weights and full context with ease"
        return replace(fewest, why=why)
    best = max(worth, key=lambda f: (f.layout.tensor, -f.layout.devices))
    ranks = best.layout.tensor
    if ranks == max(fit.layout.tensor for fit in fits):
        why = f"{ranks} ranks, as many as can be, each read their part of the weights"
    else:
        why = "more ranks would cost more in all-reduce than they save in weight reads"
    return replace(best, why=why)
