"""Memory of a device that is neither weights nor KV cache: contexts, activations, graphs.

On NPUs it is 4 GiB: with that, all 358 measurable launches of vLLM Ascend's tests fit; a start on
an A3 (vLLM 0.27.1, TP 8, DeepSeek V4.1 Flash) took 3.49.

On GPUs it is computed from what a step holds. Measured with vLLM 0.25.1 on one H200, 64 sequences
and 4,096 tokens a step, as vLLM's log has it (its share of the memory, less weights and cache):

| model | measured | here |
|---|---|---|
| 7 MB, 64 positions | 0.3 GiB | 0.75 |
| 8B INT8, compiled at this start | 1.46 GiB | 1.78 |
| 8B FP8, compiled before | 0.57 GiB | 1.78 |
| 12 layers of 30B-A3B, INT8 | 0.95 GiB | 1.62 |

Several GPUs and vision encoders were not measured. For several there is a GiB more, for buffers of
NCCL and of vLLM's own all-reduce; with a vision encoder it is no less than the 4 GiB of NPUs.
"""

from __future__ import annotations

from registry.checkpoint.architecture import Architecture
from serving.fit.cpu import GIB
from serving.fit.fit import Layout
from serving.hardware import Hardware
from serving.hardware.profile import CUDA

OVERHEAD = 4 * GIB
_CONTEXT = 3 * GIB // 4  # CUDA's context, libraries and graphs: beyond what the smallest model took
_TOGETHER = GIB
_BYTES = 2  # of an activation
# The widest tensors of a layer are there twice: those of the profiling run are freed late.
_TWICE = 2
# The sampler's logits in float32, sorted, with their indices of eight bytes, and their sums.
_LOGIT = 24


def usual_overhead(
    a: Architecture, hardware: Hardware, layout: Layout, *, sequences: int, tokens: int
) -> int:
    """Bytes on a device beside weights and KV cache; HCCL's buffers come on top.

    Args:
        a: of the model.
        hardware: whose engine it is.
        layout: how the model is spread.
        sequences: at once.
        tokens: of a step.
    """
    if hardware.kind != CUDA or not a.hidden_size or not a.vocab_size:
        return OVERHEAD
    width = 4 * a.hidden_size
    if a.is_moe:
        inner = (a.moe_intermediate_size or a.intermediate_size or 0) // _split(layout)
        width += (a.experts_per_token or 1) * (3 * inner + a.hidden_size)
    else:
        width += 3 * (a.intermediate_size or 4 * a.hidden_size) // layout.tensor
    found = _CONTEXT + _TWICE * tokens * width * _BYTES + sequences * a.vocab_size * _LOGIT
    if layout.devices > 1:
        found += _TOGETHER
    return max(found, OVERHEAD) if a.vision else found


def _split(layout: Layout) -> int:
    """Among how many ranks each expert is split."""
    return 1 if layout.experts else layout.tensor
