"""Architecture facts from config.json, under one set of names for all families."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Architecture:
    """What config.json says; None where it says nothing, never a guess.

    Sizes are in elements, positions in tokens.
    """

    model_type: str | None
    architectures: tuple[str, ...]
    dtype: str | None
    layers: int | None
    hidden_size: int | None
    heads: int | None
    kv_heads: int | None
    head_dim: int | None
    vocab_size: int | None
    max_positions: int | None
    experts: int | None
    experts_per_token: int | None
    kv_lora_rank: int | None
    rope_head_dim: int | None
    tied_embeddings: bool
    remote_code: bool

    @property
    def is_moe(self) -> bool:
        """Whether it routes tokens to experts."""
        return bool(self.experts)

    @property
    def kv_bytes_per_token(self) -> int | None:
        """Bytes of a 16-bit KV cache for one token, all layers, unsharded; None if unknown.

        MLA stores one latent vector and the rope part a layer, others keys and values for each
        KV head.
        """
        if not self.layers:
            return None
        if self.kv_lora_rank:
            return (self.kv_lora_rank + (self.rope_head_dim or 0)) * 2 * self.layers
        if not self.kv_heads or not self.head_dim:
            return None
        return 2 * self.kv_heads * self.head_dim * 2 * self.layers

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "architectures": list(self.architectures)}


def read_architecture(config: Mapping[str, Any]) -> Architecture:
    """Collect the facts; a composite model's facts are those of its text model."""
    text = config.get("text_config")
    inner: Mapping[str, Any] = text if isinstance(text, Mapping) else {}

    def integer(*keys: str) -> int | None:
        for section in (inner, config):
            for key in keys:
                value = section.get(key)
                if isinstance(value, int) and not isinstance(value, bool):
                    return value
        return None

    def word(*keys: str) -> str | None:
        for section in (inner, config):
            for key in keys:
                if isinstance(section.get(key), str):
                    return str(section[key])
        return None

    heads, hidden = integer("num_attention_heads", "n_head"), integer("hidden_size", "n_embd")
    names = config.get("architectures")
    model_type = config.get("model_type")
    return Architecture(
        model_type=model_type if isinstance(model_type, str) else None,
        architectures=tuple(n for n in names if isinstance(n, str))
        if isinstance(names, list)
        else (),
        dtype=word("dtype", "torch_dtype"),
        layers=integer("num_hidden_layers", "n_layer"),
        hidden_size=hidden,
        heads=heads,
        kv_heads=integer("num_key_value_heads") or heads,
        head_dim=integer("head_dim") or (hidden // heads if hidden and heads else None),
        vocab_size=integer("vocab_size"),
        max_positions=integer("max_position_embeddings", "n_positions"),
        experts=integer("n_routed_experts", "num_experts", "num_local_experts"),
        experts_per_token=integer("num_experts_per_tok", "moe_topk", "top_k_experts"),
        kv_lora_rank=integer("kv_lora_rank"),
        rope_head_dim=integer("qk_rope_head_dim"),
        tied_embeddings=bool(inner.get("tie_word_embeddings", config.get("tie_word_embeddings"))),
        remote_code="auto_map" in config,
    )
