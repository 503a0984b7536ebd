"""Bytes of weights on one device, by how the engine spreads each kind of tensor.

vLLM 0.23 shards embeddings, lm_head, attention, dense MLPs and shared experts by tensor parallel
ranks, and routed experts by all ranks under expert parallelism. MLA's down projections, the indexer
of sparse attention, routers and norms are on every rank.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from registry.checkpoint.architecture import Architecture
from registry.checkpoint.outline import Kind
from serving.fit.fit import Layout

_REPLICATED = re.compile(
    r"\.(q_a_proj|kv_a_proj_with_mqa|indexer|compressor|wq_a|wkv|gate|shared_expert_gate|router|"
    r"e_score_correction_bias|tid2eid|eh_proj|e_proj|h_proj|fc)\.|norm|\.e_score_correction_bias$|hc_"
)
_KEYS_VALUES = re.compile(r"\.(k_proj|v_proj)\.")
# MTP layers have copies of the model's embedding and head, which the engine recognises and drops
# (`_maybe_share_embeddings`, `_maybe_share_lm_head` in `spec_decode/llm_base_proposer.py`).
_COPIES = re.compile(r"\.(embed_tokens|shared_head\.head|emb\.tok_emb)\.")
_EXPERTS = re.compile(r"\.experts\.")


def weights_per_device(
    kinds: Iterable[Kind], architecture: Architecture, layout: Layout, *, drafting: bool = True
) -> Mapping[str, int]:
    """Bytes by component on the device that has most.

    Args:
        kinds: all weights.
        architecture: of the model.
        layout: how it is spread.
        drafting: whether MTP layers are loaded.
    """
    sizes: Counter[str] = Counter()
    for kind in kinds:
        if kind.component == "mtp" and (not drafting or _is_copy(kind, layout)):
            continue
        share = _divisor(kind, architecture, layout)
        in_layers = kind.component not in ("embedding", "lm_head", "vision")
        stages = layout.pipeline if in_layers else 1
        sizes[kind.component] += -(-kind.bytes // (share * stages))
    return dict(sizes.most_common())


def _is_copy(kind: Kind, layout: Layout) -> bool:
    """Whether a tensor of an MTP layer is shared with the model; over stages it cannot be."""
    return layout.pipeline == 1 and _COPIES.search(kind.name) is not None


def _divisor(kind: Kind, architecture: Architecture, layout: Layout) -> int:
    """Ranks that share a tensor of a kind."""
    if _EXPERTS.search(kind.name) and "shared_expert" not in kind.name:
        return layout.expert_ranks
    if kind.component == "vision":
        return 1  # `--mm-encoder-tp-mode data` keeps it whole on every rank
    if _REPLICATED.search(kind.name):
        return 1
    if _KEYS_VALUES.search(kind.name) and architecture.kv_heads and not architecture.kv_lora_rank:
        return min(layout.tensor, architecture.kv_heads)
    return layout.tensor
