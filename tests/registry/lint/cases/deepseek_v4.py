"""DeepSeek V4 as ModelSlim writes it: names and types of its own."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from tests.lint_cases import Model, Stored
from tests.twins.parts import Part
from tests.twins.schemes import stored

_V4: Mapping[str, Any] = {
    "architectures": ["DeepseekV4ForCausalLM"],
    "model_type": "deepseek_v4",
    "torch_dtype": "bfloat16",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "q_lora_rank": 24,
    "o_lora_rank": 16,
    "o_groups": 2,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "num_nextn_predict_layers": 1,
    "compress_ratios": [4, 128],
    "vocab_size": 96,
    "tie_word_embeddings": False,
}
_V4_LINEAR: Mapping[str, tuple[int, int]] = {
    "attn.wq_a": (24, 64),
    "attn.wq_b": (64, 24),
    "attn.wkv": (16, 64),
    "attn.wo_a": (32, 32),
    "attn.wo_b": (64, 32),
    "ffn.shared_experts.w1": (32, 64),
    "ffn.shared_experts.w2": (64, 32),
    "ffn.shared_experts.w3": (32, 64),
}
_V4_OTHER: Mapping[str, Stored] = {
    "attn.attn_sink": ("F32", (4,)),
    "attn.q_norm.weight": ("BF16", (24,)),
    "attn.kv_norm.weight": ("BF16", (16,)),
    "attn.compressor.ape": ("F32", (4, 32)),
    "attn.compressor.wkv.weight": ("F32", (32, 64)),
    "attn.compressor.wgate.weight": ("F32", (32, 64)),
    "attn.compressor.norm.weight": ("BF16", (16,)),
    "ffn.gate.weight": ("BF16", (8, 64)),
    "ffn.gate.bias": ("F32", (8,)),
    "attn_norm.weight": ("BF16", (64,)),
    "ffn_norm.weight": ("BF16", (64,)),
    "hc_attn_fn": ("F32", (8, 64)),
    "hc_attn_base": ("F32", (8,)),
    "hc_attn_scale": ("F32", (3,)),
    "hc_ffn_fn": ("F32", (8, 64)),
    "hc_ffn_base": ("F32", (8,)),
    "hc_ffn_scale": ("F32", (3,)),
}


def deepseek_v4() -> Model:
    """DeepSeek V4 in its own names and types, W8A8_DYNAMIC.

    As msmodelslim 26.1.0's `model/deepseek_v4/model.py` builds it and its practice
    deepseek_v4_flash_w8a8.yaml quantizes it: output projections, compressors and MTP stay float.
    """
    model = Model(deepcopy(dict(_V4)), {}, {}, {"version": "1.0.0", "group_size": 0})
    assert model.description is not None
    model.description.update(model_quant_type="W8A8_DYNAMIC", metadata={}, optional={})
    model.prefix = "quant_model_weights"
    experts = {
        f"ffn.experts.{number}.{leaf}": shape
        for number in range(8)
        for leaf, shape in (("w1", (32, 64)), ("w2", (64, 32)), ("w3", (32, 64)))
    }
    for layer in ("layers.0", "layers.1", "mtp.0"):
        for name, shape in {**_V4_LINEAR, **experts}.items():
            part = Part(f"{layer}.{name}", shape, True)
            kind = "FLOAT" if layer == "mtp.0" or "attn.wo_" in name else "W8A8_DYNAMIC"
            for suffix, dtype, stored_shape in stored(part, kind):
                model.add(f"{part.name}.{suffix}", (dtype, stored_shape), kind)
        for name, stored_as in _V4_OTHER.items():
            model.add(f"{layer}.{name}", stored_as)
    for name in ("e_proj", "h_proj"):
        model.add(f"mtp.0.{name}.weight", ("BF16", (64, 64)))
    for name in ("mtp.0.enorm.weight", "mtp.0.hnorm.weight", "mtp.0.norm.weight", "norm.weight"):
        model.add(name, ("BF16", (64,)))
    model.add("embed.weight", ("BF16", (96, 64)))
    model.add("head.weight", ("F32", (96, 64)))
    model.add("hc_head_fn", ("F32", (4, 64)))
    model.add("hc_head_base", ("F32", (4,)))
    model.add("hc_head_scale", ("F32", (1,)))
    return model
