"""Model families: what their configuration classes assume where config.json is silent.

Defaults are those of transformers 5.17's configuration classes, and of the families' own code for
those that transformers does not have (Kimi). A model type that is not here is unknown: then only
what config.json says counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Family:
    """One model type.

    Attributes:
        name: of the family, for people.
        defaults: values of keys that config.json may leave out.
        head_dim_from_hidden: the size of a head is hidden size / heads where nothing is said.
        kv_heads_from_heads: there are as many KV heads as heads where nothing is said.
        attention: `mla` for latent attention, `gqa` for all others.
        code: model code comes with the artifact (`auto_map`), because transformers has none.
    """

    name: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    head_dim_from_hidden: bool = True
    kv_heads_from_heads: bool = True
    attention: str = "gqa"
    code: bool = False


_TIED = {"tie_word_embeddings": True}
_QWEN3 = {"head_dim": 128}
_HYBRID = {"head_dim": 256, "full_attention_interval": 4}
FAMILIES: Mapping[str, Family] = {
    "deepseek_v2": Family("DeepSeek V2", attention="mla"),
    "deepseek_v3": Family("DeepSeek V3", attention="mla"),
    "deepseek_v32": Family("DeepSeek V3.2", attention="mla"),
    "deepseek_v4": Family("DeepSeek V4", {"head_dim": 512, "num_key_value_heads": 1}),
    "kimi_k2": Family("Kimi K2", attention="mla", code=True),
    "kimi_k25": Family("Kimi K2.5", attention="mla", code=True),
    "glm4": Family("GLM-4"),
    "glm4_moe": Family("GLM-4.5", {"head_dim": 128}),
    "glm_moe_dsa": Family("GLM-5", attention="mla"),
    "minimax_m2": Family("MiniMax M2", {"head_dim": 128}),
    "qwen2": Family("Qwen2"),
    "qwen2_moe": Family("Qwen2 MoE"),
    "qwen2_vl": Family("Qwen2-VL"),
    "qwen2_5_vl": Family("Qwen2.5-VL"),
    "qwen3": Family("Qwen3", _QWEN3),
    "qwen3_moe": Family("Qwen3 MoE"),
    "qwen3_vl": Family("Qwen3-VL", _QWEN3),
    "qwen3_vl_moe": Family("Qwen3-VL MoE", _QWEN3),
    "qwen3_next": Family("Qwen3-Next", _HYBRID),
    "qwen3_5": Family("Qwen3.5", _HYBRID),
    "qwen3_5_moe": Family("Qwen3.5 MoE", _HYBRID),
    "llama": Family("Llama"),
    "llama4": Family("Llama 4", {"head_dim": 128, "interleave_moe_layer_step": 1}),
    "mllama": Family("Llama 3.2 Vision"),
    "mistral": Family("Mistral", {"num_key_value_heads": 8}),
    "mistral3": Family("Mistral 3", {"num_key_value_heads": 8, "head_dim": 128}),
    "ministral3": Family("Ministral 3", {"num_key_value_heads": 8, "head_dim": 128}),
    "mistral4": Family("Mistral 4", attention="mla"),
    "mixtral": Family("Mixtral", {"num_key_value_heads": 8}),
    "pixtral": Family("Pixtral", {"head_dim": 64}),
    "gemma": Family("Gemma", {**_TIED, "head_dim": 256}),
    "gemma2": Family("Gemma 2", {**_TIED, "head_dim": 256, "sliding_window_pattern": 2}),
    "gemma3": Family("Gemma 3", {**_TIED, "head_dim": 256, "sliding_window_pattern": 6}),
    "gemma3_text": Family("Gemma 3", {**_TIED, "head_dim": 256, "sliding_window_pattern": 6}),
    "gpt_oss": Family("gpt-oss", {"head_dim": 64, "sliding_window_pattern": 2}),
}


def family_of(config: Mapping[str, Any], text: Mapping[str, Any]) -> Family | None:
    """The family of a config.json, by its model type or that of its language model."""
    for section in (config, text):
        model_type = section.get("model_type")
        if isinstance(model_type, str):
            for name in (model_type, model_type.removesuffix("_text")):
                if name in FAMILIES:
                    return FAMILIES[name]
    return None
