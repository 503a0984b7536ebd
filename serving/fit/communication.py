"""The buffers that HCCL needs to move tokens between experts.

The formula is that of the operators of vLLM Ascend 0.23 (`MoeDistributeDispatch`), checked against
340 of 346 buffers that deployments set: with `b` tokens a tensor parallel rank decodes at once, `h`
hidden size, `K` experts a token and A(x) aligned, bytes are
2 · [local experts · b · EP · A512(A32(2h) + 64) + (K + shared) · b · A512(2h)].
"""

from __future__ import annotations

from registry.checkpoint.architecture import Architecture
from serving.fit.fit import Layout

USUAL = 200  # MB, where HCCL_BUFFSIZE is not set
_STEP = 128  # MB; deployments set multiples of it
_MOST_TOKENS = 512  # that the operators take from one rank


def hccl_buffer(a: Architecture, layout: Layout, sequences: int, speculative: int) -> int:
    """MB (2^20 bytes) of `HCCL_BUFFSIZE` that decoding needs; at least HCCL's own.

    Args:
        a: of the model.
        layout: how it is spread.
        sequences: that a data parallel replica decodes at once.
        speculative: tokens that are drafted with each.
    """
    if not a.experts or not a.hidden_size or layout.expert_ranks == 1 or not layout.experts:
        return USUAL
    tokens = min(_MOST_TOKENS, -(-sequences * (1 + speculative) // layout.tensor))
    local = -(-a.experts // layout.expert_ranks)
    width = 2 * a.hidden_size
    dispatched = local * tokens * layout.expert_ranks * _aligned(_aligned(width, 32) + 64, 512)
    active = (a.experts_per_token or 1) + (a.shared_experts or 0)
    combined = active * tokens * _aligned(width, 512)
    needed = 2 * (dispatched + combined) / 2**20
    return max(USUAL, _aligned(int(needed) + 1, _STEP)) if needed > USUAL else USUAL


def _aligned(size: int, to: int) -> int:
    return -(-size // to) * to
