"""Memory that is neither weights nor KV cache: what launches on record took, else a constant.

A plan must be safe, so the largest measured figure counts, not the middle one, and a margin comes
on top. One start says little: on an H200 the same artifact took 0.57 GiB with a warm cache of
compiled graphs and 1.46 GiB without (vLLM 0.25.1). So the margin is 1 GiB, until three starts have
shown how much it varies; then a tenth, at least 256 MiB. The engine's constant, which holds for all
launches that others validated, is not exceeded unless a launch comes near it.

Activations grow with a model's width and with the tokens of a step, buffers with the ranks. So a
figure counts only for plans like the one that it was measured with: about as many weights on a
device, the same step, no more sequences, the same sizes. A start that found its graphs compiled
says nothing against the usual figure; it can only raise it.
"""

from __future__ import annotations

from dataclasses import dataclass

from serving.wishes import PREFILL, OverheadSample, Wishes

_GIB, _MIB = 2**30, 2**20
_SMALL = 256 * _MIB  # between such models a share of the weights says nothing
_FEW, _MARGIN = 3, _GIB
_LEAST_MARGIN, _SHARE = 256 * _MIB, 0.1
# Weights that another reader counts a little differently, or another scheme of the same model.
_LEAST, _MOST = 0.97, 1.1
_STEP, _PREFILL_STEP = 4096, 16384  # tokens, as `rules/ascend/capacity.py` plans them


@dataclass(frozen=True)
class Overhead:
    """Bytes on each device, and where they are known from; empty for the engine's constant."""

    bytes: int
    source: str = ""


def overhead_of(
    wishes: Wishes,
    weights: int,
    positions: int | None,
    usual: int,
    *,
    sequences: int,
    ranks: tuple[int, int, int] = (1, 1, 1),
) -> Overhead:
    """What to plan for beside weights, KV cache and what is computed.

    Args:
        wishes: with the samples on record.
        weights: bytes on each device.
        positions: tokens that the model takes; no step is longer. None where it is not known.
        usual: bytes to plan for where nothing comparable is on record.
        sequences: at once.
        ranks: tensor, data and pipeline parallel sizes.
    """
    found = [
        sample
        for sample in wishes.measured
        if _comparable(sample, wishes, weights, positions)
        and sample.ranks == ranks
        and (not sample.sequences or sample.sequences >= sequences)
    ]
    if not found:
        return Overhead(usual)
    largest = max(found, key=lambda sample: sample.bytes)
    few = len(found) < _FEW
    margin = _MARGIN if few else max(_LEAST_MARGIN, int(largest.bytes * _SHARE))
    starts = f"the largest of {len(found)} starts" if len(found) > 1 else "one start"
    told = f"overhead measured on {largest.source}: {_gib(largest.bytes)}, {starts}"
    size = largest.bytes + margin
    if size < usual and not any(sample.cold for sample in found):
        return Overhead(usual, f"{told}, with graphs compiled before; the usual {_gib(usual)} stay")
    if largest.bytes + _LEAST_MARGIN <= usual <= size:
        return Overhead(usual, f"{told}; the usual {_gib(usual)} stay")
    return Overhead(size, f"{told}, and {_gib(margin)} of margin")


def _gib(size: int) -> str:
    return f"{size / _GIB:.2f} GiB"


def _comparable(
    sample: OverheadSample, wishes: Wishes, weights: int, positions: int | None
) -> bool:
    step = wishes.number("--max-num-batched-tokens")
    if step is None:
        step = _PREFILL_STEP if wishes.role == PREFILL else _STEP
        step = min(step, wishes.number("--max-model-len") or positions or step)
    return (
        sample.bytes >= 0
        and _LEAST * weights <= sample.weights <= max(_MOST * weights, weights + _SMALL)
        and (not sample.step or sample.step == step)
    )
