"""Small sound artifacts of each format, made by code: where all mutations start."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from registry.artifact import Digest, FileEntry, Manifest, payload_digest
from tests.checkpoints import CONFIG, INT8_CONFIG, LAYER, header_of

Files = dict[str, bytes]
Tensors = dict[str, tuple[str, list[int]]]

SHARD, SECOND = "model.safetensors", "model-00002-of-00002.safetensors"
INDEX, DESCRIPTION = "model.safetensors.index.json", "quant_model_description.json"
PRACTICE, MANIFEST = "qwen3_best_practice.yaml", "qreg.json"
ATTENTION, FEED_FORWARD = f"{LAYER}.self_attn.q_proj", f"{LAYER}.mlp.up_proj"
EXPERT = f"{LAYER}.mlp.experts"
_BASE: Tensors = {
    "model.embed_tokens.weight": ("BF16", [4, 8]),
    "model.norm.weight": ("BF16", [8]),
    f"{LAYER}.self_attn.k_proj.weight": ("BF16", [4, 8]),
    "lm_head.weight": ("BF16", [4, 8]),
}
_CONFIG: dict[str, Any] = {**CONFIG, "vocab_size": 4}
_PRACTICE = """\
apiversion: modelslim_v1
spec:
  process:
    - type: linear_quant
      include: ["*"]
      exclude: ["*down_proj*"]
    - type: group
      configs:
        - {type: linear_quant, include: ["*self_attn*", "model.layers.[0-9].*"]}
"""


def json_bytes(value: Any) -> bytes:
    """JSON as files hold it."""
    return json.dumps(value).encode()


def shard_of(tensors: Mapping[str, tuple[str, list[int]]]) -> bytes:
    """A whole shard; its data are zeros."""
    header, size = header_of(tensors)
    return header + bytes(size)


def with_manifest(files: Mapping[str, bytes]) -> Files:
    """The same artifact, with its manifest."""
    entries = tuple(
        FileEntry(path, len(content), hashlib.sha256(content).hexdigest())
        for path, content in files.items()
    )
    digest: Digest = payload_digest(entries)
    manifest = Manifest("org/name", digest, entries, evidence=({"kind": "smoke"},))
    return {**files, MANIFEST: manifest.to_bytes()}


def _linear(module: str, *, weight: str = "weight", dtype: str = "I8", **parts: Any) -> Tensors:
    return {
        f"{module}.{weight}": (dtype, [8, 8]),
        **{f"{module}.{name}": value for name, value in parts.items()},
    }


def _artifact(
    tensors: Tensors, config: Mapping[str, Any] = _CONFIG, **others: Mapping[str, Any]
) -> Files:
    return {
        "config.json": json_bytes(config),
        SHARD: shard_of({**_BASE, **tensors}),
        "tokenizer.json": b"{}",
        **{name: json_bytes(value) for name, value in others.items()},
    }


def _float() -> Files:
    tensors = _linear(ATTENTION, dtype="BF16") | _linear(FEED_FORWARD, dtype="BF16")
    files = _artifact(tensors)
    files["generation_config.json"] = json_bytes({"eos_token_id": 1})
    files["tokenizer_config.json"] = json_bytes(
        {"chat_template": "{{ messages }}", "auto_map": {"AutoTokenizer": ["code.Slow", None]}}
    )
    return with_manifest({**files, PRACTICE: _PRACTICE.encode()})


def _sharded() -> Files:
    first, second = _linear(ATTENTION, dtype="BF16"), _linear(FEED_FORWARD, dtype="BF16")
    files = _artifact({})
    del files[SHARD]
    one = SECOND.replace("00002-of", "00001-of")
    names = {**dict.fromkeys({**_BASE, **first}, one), **dict.fromkeys(second, SECOND)}
    return {
        **files,
        one: shard_of({**_BASE, **first}),
        SECOND: shard_of(second),
        INDEX: json_bytes({"metadata": {"total_size": 1}, "weight_map": names}),
    }


def _described(tensors: Tensors, scheme: str, config: Mapping[str, Any], **keys: Any) -> Files:
    types = dict.fromkeys(tensors, scheme) | dict.fromkeys(_BASE, "FLOAT")
    description = {"version": "1.0.0", "model_quant_type": scheme, **keys, **types}
    return _artifact(tensors, config, **{DESCRIPTION: description})


def _modelslim() -> Files:
    """Static W8A8 with a C8 cache, flash attention's types, slices and rotations."""
    parts: dict[str, Any] = {
        "input_scale": ("F32", [1]),
        "deq_scale": ("F32", [8]),
        "quant_bias": ("I32", [8]),
    }
    tensors = _linear(ATTENTION, **parts) | _linear(FEED_FORWARD, **parts)
    tensors[f"{ATTENTION}.tp_list.0.weight"] = ("I8", [4, 8])
    tensors["model.heads_rotation"] = ("F32", [2, 2])
    keys = {
        "kv_cache_type": "C8",
        f"{LAYER}.self_attn.quant_type": "FAKQuant",
        "fa_quant_type": "FAKQuant",
        "optional": {"quarot": {}},
        "max_supported_tp": 2,
    }
    return _described(tensors, "W8A8", _CONFIG, **keys)


def _modelslim_experts() -> Files:
    """W4A8 experts of a DeepSeek kind: MLA, MTP, groups."""
    config = {
        **_CONFIG,
        "model_type": "deepseek_v3",
        "n_routed_experts": 2,
        "num_experts_per_tok": 1,
        "first_k_dense_replace": 0,
        "moe_layer_freq": 1,
        "kv_lora_rank": 4,
        "qk_nope_head_dim": 2,
        "qk_rope_head_dim": 2,
        "num_nextn_predict_layers": 1,
        "rope_scaling": {"type": "yarn", "factor": 40.0},
        "auto_map": {"AutoConfig": "other/repo--configuration.Config"},
    }
    tensors: Tensors = {}
    for module in (f"{EXPERT}.0.up_proj", f"{EXPERT}.1.up_proj", "model.layers.1.mlp.up_proj"):
        parts: dict[str, Any] = {
            "weight_scale": ("F32", [16, 1]),
            "weight_scale_second": ("F32", [16, 1]),
        }
        tensors |= _linear(module, **parts)
    return _described(tensors, "W4A8_DYNAMIC", config, group_size=64)


def _mindie() -> Files:
    """MindIE's name of the description, and a quantization_config that was left."""
    tensors = _linear(FEED_FORWARD, weight_scale=("F32", [8, 1]), weight_offset=("F32", [8, 1]))
    config = {**_CONFIG, "quantization_config": {"quant_method": "fp8"}}
    files = _described(tensors, "W8A8_DYNAMIC", config)
    files["quant_model_description_w8a8_dynamic.json"] = files.pop(DESCRIPTION)
    return files


def _configured(tensors: Tensors, **settings: Any) -> Files:
    return _artifact(tensors, {**_CONFIG, "quantization_config": settings})


def _compressed() -> Files:
    """Two groups, one packed, with patterns of each kind."""
    packed = {
        "targets": ["re:.*mlp.*", f"{LAYER}.mlp.up_proj"],
        "format": "pack-quantized",
        "weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 4},
        "input_activations": None,
    }
    settings = {
        **INT8_CONFIG,
        "ignore": ["lm_head", "re:.*k_proj"],
        "config_groups": {**INT8_CONFIG["config_groups"], "group_1": packed},
        "kv_cache_scheme": {"num_bits": 8, "type": "float"},
    }
    tensors = _linear(ATTENTION, weight_scale=("BF16", [8, 1])) | {
        f"{FEED_FORWARD}.weight_packed": ("I32", [8, 1]),
        f"{FEED_FORWARD}.weight_scale": ("BF16", [8, 2]),
        f"{FEED_FORWARD}.weight_shape": ("I64", [2]),
    }
    return _configured(tensors, **settings)


def _fp8() -> Files:
    tensors = _linear(FEED_FORWARD, dtype="F8_E4M3", weight_scale_inv=("F32", [2, 2]))
    tensors |= _linear(ATTENTION, dtype="F8_E4M3", weight_scale=("F32", [1]))
    return _configured(tensors, quant_method="fp8", fmt="e4m3", weight_block_size=[4, 4])


def _awq() -> Files:
    parts: dict[str, Any] = {"scales": ("F16", [1, 64]), "qzeros": ("I32", [1, 8])}
    tensors = _linear(FEED_FORWARD, weight="qweight", dtype="I32", **parts)
    return _configured(
        tensors,
        quant_method="awq", bits=4, group_size=8, zero_point=True, version="gemm",
        modules_to_not_convert=["lm_head"],
    )  # fmt: skip


def _gptq() -> Files:
    parts: dict[str, Any] = {
        "scales": ("F16", [1, 8]),
        "qzeros": ("I32", [1, 1]),
        "g_idx": ("I32", [64]),
    }
    tensors = _linear(FEED_FORWARD, weight="qweight", dtype="I32", **parts)
    return _configured(tensors, quant_method="gptq", bits=4, group_size=128, sym=True)


def _bitsandbytes() -> Files:
    tensors: Tensors = {
        f"{FEED_FORWARD}.weight": ("U8", [32, 1]),
        f"{FEED_FORWARD}.weight.absmax": ("F32", [1]),
        f"{FEED_FORWARD}.weight.quant_state.bitsandbytes__nf4": ("U8", [9]),
        f"{ATTENTION}.weight": ("I8", [8, 8]),
        f"{ATTENTION}.SCB": ("F32", [8]),
    }
    return _configured(tensors, load_in_4bit=True, llm_int8_skip_modules=["lm_head"])


def _fused_experts() -> Files:
    tensors: Tensors = {
        f"{EXPERT}.gate_up_proj_blocks": ("U8", [2, 4, 2, 16]),
        f"{EXPERT}.gate_up_proj_scales": ("U8", [2, 4, 2]),
    }
    text = {"model_type": "gpt_oss", "num_local_experts": 2, "sliding_window": 4}
    config = {**_CONFIG, "text_config": {**_CONFIG, **text}, "vision_config": {}}
    return _artifact(tensors, {**config, "quantization_config": {"quant_method": "mxfp4"}})


def _hybrid() -> Files:
    """Linear and full attention, NVFP4 weights and FP8 activations."""
    floats = {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16}
    group = {
        "targets": ["Linear"],
        "weights": floats,
        "input_activations": {"num_bits": 8, "type": "float", "dynamic": True},
    }
    kind = {"model_type": "qwen3_next", "num_hidden_layers": 4, "full_attention_interval": 4}
    method = {"quant_method": "compressed-tensors", "config_groups": {"a": group}}
    tensors = _linear(FEED_FORWARD, weight="weight_packed", dtype="U8")
    return _artifact(tensors, {**_CONFIG, **kind, "quantization_config": method})


def _compressed_attention() -> Files:
    """Layers by kind of attention, sliding windows, dense layers by number."""
    kind = {
        "model_type": "deepseek_v4",
        "num_hidden_layers": 3,
        "compress_ratios": [0, 4, 128],
        "sliding_window": 4,
        "sliding_window_pattern": 2,
        "index_topk": 8,
        "num_experts": 2,
        "mlp_only_layers": [0],
        "decoder_sparse_step": 1,
        "torch_dtype": "float16",
        "rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0},
    }
    tensors = _linear(f"{EXPERT}.0.w1", dtype="F8_E4M3", scale=("F8_E8M0", [1, 1]))
    return _artifact(tensors, {**_CONFIG, **kind, "quantization_config": {"quant_method": "fp8"}})


SEEDS: Mapping[str, Callable[[], Files]] = {
    "float": _float,
    "sharded": _sharded,
    "modelslim": _modelslim,
    "modelslim-experts": _modelslim_experts,
    "mindie": _mindie,
    "compressed-tensors": _compressed,
    "fp8": _fp8,
    "awq": _awq,
    "gptq": _gptq,
    "bitsandbytes": _bitsandbytes,
    "fused-experts": _fused_experts,
    "hybrid": _hybrid,
    "compressed-attention": _compressed_attention,
}
