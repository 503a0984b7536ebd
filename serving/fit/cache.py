"""Bytes of KV cache that a sequence takes on one device.

Checked against vLLM Ascend 0.23: attention with grouped KV heads shards them by tensor parallel
ranks and holds at least one on each; latent attention (MLA) keeps its one vector on every rank;
sparse attention (DSA) adds the indexer's keys; linear attention keeps a state a sequence, whatever
its length; sliding windows end a layer's cache at the window.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry.checkpoint.architecture import Architecture
from serving.fit.fit import Layout

_SLIDING = ("sliding_attention", "chunked_attention")
_COMPRESSION = {"compressed_sparse_attention": 4, "heavily_compressed_attention": 128}
_INDEX_HEAD = 128  # elements of the indexer's key, where config.json does not say
_BYTES = 2  # of an element; an eight-bit cache is smaller, and counted as this to be safe


@dataclass(frozen=True)
class Cache:
    """What one sequence takes on a device.

    Attributes:
        per_token: bytes for each token.
        per_sequence: bytes beside, for states and for windows that are full.
    """

    per_token: float
    per_sequence: int

    def bytes(self, tokens: int, sequences: int = 1) -> int:
        """For sequences of some tokens each."""
        return int(sequences * (self.per_token * tokens + self.per_sequence))


def cache_of(
    architecture: Architecture,
    config: Mapping[str, Any],
    layout: Layout,
    *,
    drafting: bool = False,
    element: float = _BYTES,
) -> Cache | None:
    """The cache of a model; None where its geometry is not known.

    Args:
        architecture: its facts.
        config: the language model's part of config.json, for states of linear attention.
        layout: how it is spread.
        drafting: whether MTP layers are loaded. Each has a cache like the model's own layers; those
            of DeepSeek V4 look at a window only (their compression ratio is 0).
        element: bytes of a stored element.
    """
    a = architecture
    if not a.layers:
        return None
    one = _layer(a, config, layout, element)
    if one is None:
        return None
    kinds = dict(a.layer_types) or {"full_attention": a.layers}
    tokens, fixed = 0.0, 0.0
    for kind, count in kinds.items():
        if kind == "linear_attention":
            fixed += count * _state(config, layout.tensor)
        elif kind in _SLIDING:
            fixed += count * one * (a.sliding_window or 0)
            tokens += 0 if a.sliding_window else count * one
        elif kind in _COMPRESSION:
            ratio = _COMPRESSION[kind]
            index = _index(a, config) if ratio == 4 else 0
            tokens += count * (one + index) / ratio
            fixed += count * one * (a.sliding_window or 0)
        elif kind != "cross_attention":
            tokens += count * (one + _index(a, config))
    if drafting and "compress_ratios" in config:
        fixed += (a.mtp_layers or 0) * one * (a.sliding_window or 0)
    elif drafting:
        tokens += (a.mtp_layers or 0) * (one + _index(a, config))
    share = layout.pipeline * layout.context * layout.prefill
    return Cache(tokens / share, int(fixed / layout.pipeline))


def _layer(
    a: Architecture, config: Mapping[str, Any], layout: Layout, element: float
) -> float | None:
    """Bytes of a token in one layer with full attention."""
    if a.kv_lora_rank:
        return (a.kv_lora_rank + (a.rope_head_dim or 0)) * element
    if not a.kv_heads or not a.head_dim:
        return None
    # DeepSeek V4 stores one vector that serves as key and as value.
    both = 1 if "compress_ratios" in config else 2
    return both * max(1, a.kv_heads // layout.tensor) * a.head_dim * element


def _index(a: Architecture, config: Mapping[str, Any]) -> float:
    if not a.index_topk:
        return 0
    size = config.get("index_head_dim")
    return (size if type(size) is int else _INDEX_HEAD) * _BYTES


def _state(config: Mapping[str, Any], ranks: int) -> float:
    """Bytes of the state of a layer with linear attention (Qwen3-Next, Qwen3.5), on each rank."""
    names = (
        "linear_num_key_heads", "linear_key_head_dim", "linear_num_value_heads",
        "linear_value_head_dim",
    )  # fmt: skip
    sizes = [config.get(name) for name in names]
    if not all(type(size) is int for size in sizes):
        return 0
    keys, key, values, value = (int(str(size)) for size in sizes)
    kernel = config.get("linear_conv_kernel_dim")
    window = kernel - 1 if type(kernel) is int else 3
    recurrent = values * key * value * 4  # float32
    convolution = (2 * keys * key + values * value) * window * _BYTES
    return (recurrent + convolution) / ranks
