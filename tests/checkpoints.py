"""Small checkpoints for tests, written without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from registry.checkpoint.safetensors import DTYPE_BITS

CONFIG: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "dtype": "bfloat16",
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 4,
    "vocab_size": 32,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}
LAYER = "model.layers.0"
FLOAT: dict[str, tuple[str, list[int]]] = {
    "model.embed_tokens.weight": ("BF16", [32, 8]),
    "lm_head.weight": ("BF16", [32, 8]),
    "model.norm.weight": ("BF16", [8]),
    f"{LAYER}.input_layernorm.weight": ("BF16", [8]),
    f"{LAYER}.post_attention_layernorm.weight": ("BF16", [8]),
    f"{LAYER}.self_attn.q_proj.weight": ("BF16", [8, 8]),
    f"{LAYER}.self_attn.k_proj.weight": ("BF16", [4, 8]),
    f"{LAYER}.self_attn.v_proj.weight": ("BF16", [4, 8]),
    f"{LAYER}.self_attn.o_proj.weight": ("BF16", [8, 8]),
    f"{LAYER}.mlp.gate_proj.weight": ("BF16", [16, 8]),
    f"{LAYER}.mlp.up_proj.weight": ("BF16", [16, 8]),
    f"{LAYER}.mlp.down_proj.weight": ("BF16", [8, 16]),
}
INT8_CONFIG: dict[str, Any] = {
    "quant_method": "compressed-tensors",
    "format": "int-quantized",
    "ignore": ["lm_head"],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True},
            "input_activations": {"num_bits": 8, "type": "int", "dynamic": True},
        }
    },
}


def header_of(tensors: Mapping[str, tuple[str, list[int]]]) -> tuple[bytes, int]:
    """The header of a safetensors file with its length, and the size of the data."""
    entries, end = {}, 0
    for name, (dtype, shape) in tensors.items():
        size = prod(shape) * DTYPE_BITS[dtype] // 8
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text, end


def write_shard(path: Path, tensors: Mapping[str, tuple[str, list[int]]], seed: int = 1) -> None:
    """A safetensors file with some bytes in it; scales are above zero, as all sound ones."""
    header, size = header_of(tensors)
    data = bytearray((seed * 31 + i * 7) % 251 for i in range(size))
    end = 0
    for name, (dtype, shape) in tensors.items():
        start, end = end, end + prod(shape) * DTYPE_BITS[dtype] // 8
        if name.endswith("_scale") and dtype == "BF16":
            data[start + 1 : end : 2] = bytes([0x3C]) * prod(shape)
    path.write_bytes(header + data)


def write_model(
    folder: Path,
    tensors: Mapping[str, tuple[str, list[int]]] = FLOAT,
    config: Mapping[str, Any] = CONFIG,
    seed: int = 1,
) -> Path:
    """A whole, tiny model in one shard."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    write_shard(folder / "model.safetensors", tensors, seed)
    return folder


def write_sharded(folder: Path) -> Path:
    """The same model in two shards with an index."""
    write_model(folder)
    (folder / "model.safetensors").unlink()
    names = list(FLOAT)
    weight_map = {}
    for number, part in enumerate((names[:5], names[5:]), 1):
        shard = f"model-0000{number}-of-00002.safetensors"
        write_shard(folder / shard, {name: FLOAT[name] for name in part})
        weight_map.update(dict.fromkeys(part, shard))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def quantized_tensors() -> dict[str, tuple[str, list[int]]]:
    """The tiny model as LLM-Compressor's INT8 scheme leaves it."""
    result: dict[str, tuple[str, list[int]]] = {}
    for name, (dtype, shape) in FLOAT.items():
        if "_proj" in name:
            result[name] = ("I8", shape)
            result[f"{name}_scale"] = ("BF16", [shape[0], 1])
        else:
            result[name] = (dtype, shape)
    return result


def write_quantized(folder: Path, seed: int = 1) -> Path:
    """The tiny model, INT8."""
    config = {**CONFIG, "quantization_config": INT8_CONFIG}
    return write_model(folder, quantized_tensors(), config, seed)
