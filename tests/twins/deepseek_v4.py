"""The parts of a DeepSeek V4 layer, with the names of the family's own format.

Names and shapes are those of msmodelslim 26.1.0's `model/deepseek_v4/model.py`, which loads and
saves that format; vLLM Ascend 0.23 reads it (`models/deepseek_v4.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.twins.parts import Config, Part, mlp

_STREAMS = 4  # hc_mult of transformers 5.17's configuration
_HASHED = 3  # layers that route by the token's number


def layer(text: Config, name: str, number: int) -> Iterator[Part]:
    """One decoder layer; `name` is `layers.0`."""
    hidden = text["hidden_size"]
    streams = text.get("hc_mult", _STREAMS)
    for norm in ("attn_norm", "ffn_norm"):
        yield Part(f"{name}.{norm}.weight", (hidden,))
    for place in ("attn", "ffn"):
        mixed = (2 + streams) * streams
        yield Part(f"{name}.hc_{place}_fn", (mixed, streams * hidden), dtype="F32")
        yield Part(f"{name}.hc_{place}_base", (mixed,), dtype="F32")
        yield Part(f"{name}.hc_{place}_scale", (3,), dtype="F32")
    ratios = text["compress_ratios"]
    ratio = ratios[number] if number < len(ratios) else 0
    yield from _attention(text, f"{name}.attn", ratio)
    experts, active = text["n_routed_experts"], text["num_experts_per_tok"]
    yield Part(f"{name}.ffn.gate.weight", (experts, hidden))
    if number < text.get("num_hash_layers", _HASHED):
        yield Part(f"{name}.ffn.gate.tid2eid", (text["vocab_size"], active), dtype="I32")
    else:
        yield Part(f"{name}.ffn.gate.bias", (experts,), dtype="F32")
    size, shared = text["moe_intermediate_size"], text["n_shared_experts"]
    yield from mlp(f"{name}.ffn.shared_experts", hidden, size * shared, "w1 w3 w2")
    for expert in range(experts):
        yield from mlp(f"{name}.ffn.experts.{expert}", hidden, size, "w1 w3 w2")


def outside(text: Config) -> Iterator[Part]:
    """What stands after the layers: the streams' head, and MTP layers."""
    hidden = text["hidden_size"]
    yield from _streams(text, "")
    for number in range(text.get("num_nextn_predict_layers", 0)):
        name = f"mtp.{number}"
        yield from layer(text, name, text["num_hidden_layers"] + number)
        for norm in ("enorm", "hnorm", "norm"):
            yield Part(f"{name}.{norm}.weight", (hidden,))
        yield Part(f"{name}.e_proj", (hidden, hidden), True)
        yield Part(f"{name}.h_proj", (hidden, hidden), True)
        yield from _streams(text, f"{name}.")


def _streams(text: Config, prefix: str) -> Iterator[Part]:
    streams = text.get("hc_mult", _STREAMS)
    width = streams * text["hidden_size"]
    yield Part(f"{prefix}hc_head_fn", (streams, width), dtype="F32")
    yield Part(f"{prefix}hc_head_base", (streams,), dtype="F32")
    yield Part(f"{prefix}hc_head_scale", (1,), dtype="F32")


def _attention(text: Config, name: str, ratio: int) -> Iterator[Part]:
    hidden, heads, size = text["hidden_size"], text["num_attention_heads"], text["head_dim"]
    rank, groups = text["q_lora_rank"], text["o_groups"]
    out = groups * text["o_lora_rank"]
    yield Part(f"{name}.attn_sink", (heads,), dtype="F32")
    yield Part(f"{name}.wq_a", (rank, hidden), True)
    yield Part(f"{name}.q_norm.weight", (rank,))
    yield Part(f"{name}.wq_b", (heads * size, rank), True)
    yield Part(f"{name}.wkv", (size, hidden), True)
    yield Part(f"{name}.kv_norm.weight", (size,))
    yield Part(f"{name}.wo_a", (out, heads * size // groups), True)
    yield Part(f"{name}.wo_b", (hidden, out), True)
    if ratio > 1:
        yield from _compressor(text, f"{name}.compressor", ratio, size)
    if ratio == 4:
        index, indexers = text["index_head_dim"], text["index_n_heads"]
        yield Part(f"{name}.indexer.wq_b", (indexers * index, rank), True)
        yield Part(f"{name}.indexer.weights_proj", (indexers, hidden), True)
        yield from _compressor(text, f"{name}.indexer.compressor", ratio, index)


def _compressor(text: Mapping[str, Any], name: str, ratio: int, size: int) -> Iterator[Part]:
    width = size * (2 if ratio == 4 else 1)  # neighbours overlap
    yield Part(f"{name}.ape", (ratio, width), dtype="F32")
    yield Part(f"{name}.wkv", (width, text["hidden_size"]), True)
    yield Part(f"{name}.wgate", (width, text["hidden_size"]), True)
    yield Part(f"{name}.norm.weight", (size,))
