"""The parts of a model, from its config.json: names and shapes as its checkpoint has them.

Names and shapes are those of transformers 5.17's modules and, for DeepSeek, Kimi and MiniMax, of
the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.twins import deepseek_v4
from tests.twins.parts import Config, Part
from tests.twins.parts import mlp as _mlp


def parts_of(config: Config) -> Iterator[Part]:
    """All parts of a model, in the order of a checkpoint.

    Raises:
        KeyError: of a model type whose names this module does not know.
    """
    text = config.get("text_config", config)
    prefix = _PREFIXES.get(config["model_type"], "")
    layers: Callable[[Config, str, int], Iterator[Part]] = _LAYERS[text["model_type"]]
    hidden, vocabulary = text["hidden_size"], text["vocab_size"]
    if text["model_type"] == "deepseek_v4":  # no `model.` before its names
        yield Part("embed.weight", (vocabulary, hidden))
        for number in range(text["num_hidden_layers"]):
            yield from layers(text, f"layers.{number}", number)
        yield Part("norm.weight", (hidden,))
        yield Part("head", (vocabulary, hidden), True)
        yield from deepseek_v4.outside(text)
        return
    body = "model.language_model" if prefix == "model.visual" else f"{prefix}model"
    head = "lm_head" if prefix == "model.visual" else f"{prefix}lm_head"
    yield Part(f"{body}.embed_tokens.weight", (vocabulary, hidden))
    for number in range(text["num_hidden_layers"]):
        yield from layers(text, f"{body}.layers.{number}", number)
    yield Part(f"{body}.norm.weight", (hidden,))
    if not config.get("tie_word_embeddings"):
        yield Part(head, (vocabulary, hidden), True)
    yield from _mtp(config, text, body, layers)
    if "vision_config" in config and "depth" in config["vision_config"]:
        yield from _vision(config["vision_config"])


# Where a composite model keeps its language model.
_PREFIXES = {
    "kimi_k25": "language_model.",
    "qwen3_vl_moe": "model.visual",
    "qwen3_5": "model.visual",
    "qwen3_5_moe": "model.visual",
}


def _mtp(
    config: Config, text: Config, body: str, layers: Callable[[Config, str, int], Iterator[Part]]
) -> Iterator[Part]:
    hidden, count = text["hidden_size"], text["num_hidden_layers"]
    for number in range(count, count + text.get("num_nextn_predict_layers", 0)):
        name = f"{body}.layers.{number}"
        yield Part(f"{name}.embed_tokens.weight", (text["vocab_size"], hidden))
        yield Part(f"{name}.enorm.weight", (hidden,))
        yield Part(f"{name}.hnorm.weight", (hidden,))
        yield Part(f"{name}.eh_proj", (hidden, 2 * hidden), True)
        yield from layers(text, name, number)
        yield Part(f"{name}.shared_head.norm.weight", (hidden,))
        yield Part(f"{name}.shared_head.head", (text["vocab_size"], hidden), True)
    for number in range(text.get("mtp_num_hidden_layers", 0)):
        yield Part("mtp.fc", (hidden, 2 * hidden), True)
        for norm in ("pre_fc_norm_embedding", "pre_fc_norm_hidden", "norm"):
            yield Part(f"mtp.{norm}.weight", (hidden,))
        full = {**text, "layer_types": ["full_attention"] * (number + 1)}
        yield from layers(full, f"mtp.layers.{number}", number)


def _gqa(text: Config, name: str, *, bias: bool = False, qk_norm: bool = True) -> Iterator[Part]:
    hidden, heads, kv = (
        text["hidden_size"],
        text["num_attention_heads"],
        text["num_key_value_heads"],
    )
    size = text.get("head_dim") or hidden // heads
    gate = 2 if text.get("attn_output_gate") else 1
    for part, rows in (("q", gate * heads * size), ("k", kv * size), ("v", kv * size)):
        yield Part(f"{name}.{part}_proj", (rows, hidden), True)
        if bias:
            yield Part(f"{name}.{part}_proj.bias", (rows,))
    yield Part(f"{name}.o_proj", (hidden, heads * size), True)
    if qk_norm:
        yield Part(f"{name}.q_norm.weight", (size,))
        yield Part(f"{name}.k_norm.weight", (size,))


def _mla(text: Config, name: str) -> Iterator[Part]:
    hidden, heads = text["hidden_size"], text["num_attention_heads"]
    nope, rope, value = text["qk_nope_head_dim"], text["qk_rope_head_dim"], text["v_head_dim"]
    q_rank, kv_rank = text["q_lora_rank"], text["kv_lora_rank"]
    yield Part(f"{name}.q_a_proj", (q_rank, hidden), True)
    yield Part(f"{name}.q_a_layernorm.weight", (q_rank,))
    yield Part(f"{name}.q_b_proj", (heads * (nope + rope), q_rank), True)
    yield Part(f"{name}.kv_a_proj_with_mqa", (kv_rank + rope, hidden), True)
    yield Part(f"{name}.kv_a_layernorm.weight", (kv_rank,))
    yield Part(f"{name}.kv_b_proj", (heads * (nope + value), kv_rank), True)
    yield Part(f"{name}.o_proj", (hidden, heads * value), True)
    if "index_topk" in text:
        size, index_heads = text["index_head_dim"], text["index_n_heads"]
        yield Part(f"{name}.indexer.wq_b", (index_heads * size, q_rank), True)
        yield Part(f"{name}.indexer.wk", (size, hidden), True)
        yield Part(f"{name}.indexer.k_norm.weight", (size,))
        yield Part(f"{name}.indexer.k_norm.bias", (size,))
        yield Part(f"{name}.indexer.weights_proj", (index_heads, hidden), True)


def _linear_attention(text: Config, name: str) -> Iterator[Part]:
    hidden = text["hidden_size"]
    key = text["linear_num_key_heads"] * text["linear_key_head_dim"]
    heads = text["linear_num_value_heads"]
    value = heads * text["linear_value_head_dim"]
    yield Part(f"{name}.A_log", (heads,))
    yield Part(f"{name}.dt_bias", (heads,))
    yield Part(f"{name}.conv1d.weight", (2 * key + value, 1, text["linear_conv_kernel_dim"]))
    if text["model_type"] == "qwen3_next":
        yield Part(f"{name}.in_proj_qkvz", (2 * key + 2 * value, hidden), True)
        yield Part(f"{name}.in_proj_ba", (2 * heads, hidden), True)
    else:
        yield Part(f"{name}.in_proj_qkv", (2 * key + value, hidden), True)
        yield Part(f"{name}.in_proj_z", (value, hidden), True)
        yield Part(f"{name}.in_proj_b", (heads, hidden), True)
        yield Part(f"{name}.in_proj_a", (heads, hidden), True)
    yield Part(f"{name}.norm.weight", (text["linear_value_head_dim"],))
    yield Part(f"{name}.out_proj", (hidden, value), True)


def _norms(text: Config, name: str) -> Iterator[Part]:
    yield Part(f"{name}.input_layernorm.weight", (text["hidden_size"],))
    yield Part(f"{name}.post_attention_layernorm.weight", (text["hidden_size"],))


def _deepseek(text: Config, name: str, number: int) -> Iterator[Part]:
    hidden, size = text["hidden_size"], text["moe_intermediate_size"]
    yield from _norms(text, name)
    yield from _mla(text, f"{name}.self_attn")
    if number < text["first_k_dense_replace"]:
        yield from _mlp(f"{name}.mlp", hidden, text["intermediate_size"])
        return
    experts = text["n_routed_experts"]
    yield Part(f"{name}.mlp.gate", (experts, hidden), True)
    yield Part(f"{name}.mlp.gate.e_score_correction_bias", (experts,), dtype="F32")
    yield from _mlp(f"{name}.mlp.shared_experts", hidden, size * text["n_shared_experts"])
    for expert in range(experts):
        yield from _mlp(f"{name}.mlp.experts.{expert}", hidden, size)


def _qwen(text: Config, name: str, number: int) -> Iterator[Part]:
    kind = text["model_type"]
    yield from _norms(text, name)
    if text.get("layer_types", ["full_attention"] * (number + 1))[number] == "linear_attention":
        yield from _linear_attention(text, f"{name}.linear_attn")
    else:
        yield from _gqa(text, f"{name}.self_attn", bias=kind == "qwen2", qk_norm=kind != "qwen2")
    hidden = text["hidden_size"]
    if "num_experts" not in text:
        yield from _mlp(f"{name}.mlp", hidden, text["intermediate_size"])
        return
    yield Part(f"{name}.mlp.gate", (text["num_experts"], hidden), True)
    for expert in range(text["num_experts"]):
        yield from _mlp(f"{name}.mlp.experts.{expert}", hidden, text["moe_intermediate_size"])
    if "shared_expert_intermediate_size" in text:
        size = text["shared_expert_intermediate_size"]
        yield from _mlp(f"{name}.mlp.shared_expert", hidden, size)
        yield Part(f"{name}.mlp.shared_expert_gate", (1, hidden), True)


def _minimax(text: Config, name: str, number: int) -> Iterator[Part]:
    hidden, experts = text["hidden_size"], text["num_local_experts"]
    yield from _norms(text, name)
    yield from _gqa(text, f"{name}.self_attn", qk_norm=False)
    size = text["head_dim"]
    yield Part(f"{name}.self_attn.q_norm.weight", (text["num_attention_heads"] * size,))
    yield Part(f"{name}.self_attn.k_norm.weight", (text["num_key_value_heads"] * size,))
    yield Part(f"{name}.block_sparse_moe.gate", (experts, hidden), True)
    yield Part(f"{name}.block_sparse_moe.e_score_correction_bias", (experts,))
    for expert in range(experts):
        base = f"{name}.block_sparse_moe.experts.{expert}"
        yield from _mlp(base, hidden, text["intermediate_size"], "w1 w3 w2")


def _vision(vision: Config) -> Iterator[Part]:
    hidden, size = vision["hidden_size"], vision["intermediate_size"]
    patch, merged = vision["patch_size"], hidden * vision["spatial_merge_size"] ** 2
    name = "model.visual"
    shape = (hidden, vision["in_channels"], vision["temporal_patch_size"], patch, patch)
    yield Part(f"{name}.patch_embed.proj.weight", shape)
    yield Part(f"{name}.patch_embed.proj.bias", (hidden,))
    yield Part(f"{name}.pos_embed.weight", (vision["num_position_embeddings"], hidden))
    for number in range(vision["depth"]):
        block = f"{name}.blocks.{number}"
        for norm in ("norm1", "norm2"):
            yield Part(f"{block}.{norm}.weight", (hidden,))
            yield Part(f"{block}.{norm}.bias", (hidden,))
        for part, rows, columns in (
            ("attn.qkv", 3 * hidden, hidden),
            ("attn.proj", hidden, hidden),
            ("mlp.linear_fc1", size, hidden),
            ("mlp.linear_fc2", hidden, size),
        ):
            yield Part(f"{block}.{part}", (rows, columns), True)
            yield Part(f"{block}.{part}.bias", (rows,))
    mergers = ["merger"]
    mergers += [
        f"deepstack_merger_list.{n}" for n in range(len(vision.get("deepstack_visual_indexes", ())))
    ]
    for merger in mergers:
        width = hidden if merger == "merger" else merged
        yield Part(f"{name}.{merger}.norm.weight", (width,))
        yield Part(f"{name}.{merger}.norm.bias", (width,))
        for part, rows in (("linear_fc1", merged), ("linear_fc2", vision["out_hidden_size"])):
            yield Part(f"{name}.{merger}.{part}", (rows, merged), True)
            yield Part(f"{name}.{merger}.{part}.bias", (rows,))


_LAYERS: dict[str, Callable[[Config, str, int], Iterator[Part]]] = {
    "deepseek_v3": _deepseek,
    "deepseek_v32": _deepseek,
    "deepseek_v4": deepseek_v4.layer,
    "kimi_k2": _deepseek,
    "glm_moe_dsa": _deepseek,
    "qwen2": _qwen,
    "qwen3": _qwen,
    "qwen3_moe": _qwen,
    "qwen3_vl_moe_text": _qwen,
    "qwen3_next": _qwen,
    "qwen3_5_text": _qwen,
    "qwen3_5_moe_text": _qwen,
    "minimax_m2": _minimax,
}
