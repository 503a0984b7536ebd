"""Which part of a model a tensor belongs to, by its name."""

from __future__ import annotations

import re

# First match wins. Names are those of transformers' models and of ModelSlim's outputs.
_RULES = tuple(
    (component, re.compile(pattern))
    for component, pattern in (
        (
            "vision",
            r"(^|\.)(visual|vision_tower|vision_model|multi_modal_projector|mm_projector)\.",
        ),
        ("mtp", r"(^|\.)(mtp|nextn|eh_proj|enorm|hnorm|shared_head)(\.|$)"),
        ("lm_head", r"(^|\.)lm_head\."),
        ("embedding", r"(^|\.)(embed_\w+|\w*embeddings?|wte|wpe|relative_attention_bias)\."),
        ("router", r"\.(mlp|block_sparse_moe|feed_forward|ffn)\.(gate|router)(\.|$)"),
        ("shared_experts", r"\.shared_expert(s|_gate)?(\.|$)"),
        ("experts", r"\.experts(\.|$)"),
        ("attention", r"\.(self_attn|attn|attention|linear_attn|indexer)\.(?!.*norm)"),
        ("norm", r"(norm|layernorm|ln_\w+)(\.|$)"),
        ("mlp", r"\.(mlp|feed_forward|ffn)\."),
    )
)
_QUANTIZATION_PARTS = (
    "weight_scale", "weight_offset", "weight_zero_point", "weight_shape", "weight_g_idx",
    "input_scale", "input_offset", "input_zero_point", "output_scale", "deq_scale", "quant_bias",
    "scale_bias", "weight_scale_inv", "kv_cache_scale", "kv_cache_offset", "k_scale", "v_scale",
    "scales", "qzeros", "g_idx",
)  # fmt: skip
COMPONENTS = (*(name for name, _ in _RULES), "other")


def component_of(name: str) -> str:
    """One of COMPONENTS."""
    for component, pattern in _RULES:
        if pattern.search(name):
            return component
    return "other"


def module_of(name: str) -> str:
    """The module that a tensor belongs to: `a.b.weight` and `a.b.weight_scale` → `a.b`."""
    return name.rpartition(".")[0]


def is_quantization_part(name: str) -> bool:
    """Whether the tensor only serves to dequantize another one: a scale, an offset, …"""
    return name.rpartition(".")[2] in _QUANTIZATION_PARTS
