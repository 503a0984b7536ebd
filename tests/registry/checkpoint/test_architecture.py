"""Architecture facts of every family, against what the models' authors say of them."""

from __future__ import annotations

from typing import Any

import pytest

from registry.checkpoint.architecture import Architecture, read_architecture
from registry.checkpoint.families import FAMILIES
from tests.twins.architectures import ARCHITECTURES

# layers, heads, KV heads, head size, hidden, vocabulary, positions
SHAPES: dict[str, tuple[int, ...]] = {
    "DeepSeek-R1": (61, 128, 128, 192, 7168, 129280, 163840),
    "DeepSeek-V3.2": (61, 128, 128, 192, 7168, 129280, 163840),
    "DeepSeek-V4-Flash": (43, 64, 1, 512, 4096, 129280, 1048576),
    "Kimi-K2-Instruct": (61, 64, 64, 192, 7168, 163840, 262144),
    "Kimi-K2.5": (61, 64, 64, 192, 7168, 163840, 262144),
    "GLM-5": (78, 64, 64, 256, 6144, 154880, 202752),
    "GLM-5.2": (78, 64, 64, 256, 6144, 154880, 1048576),
    "MiniMax-M2": (62, 48, 8, 128, 3072, 200064, 204800),
    "Qwen3-8B": (36, 32, 8, 128, 4096, 151936, 40960),
    "Qwen3-14B": (40, 40, 8, 128, 5120, 151936, 40960),
    "Qwen3-32B": (64, 64, 8, 128, 5120, 151936, 40960),
    "QwQ-32B": (64, 40, 8, 128, 5120, 151936, 40960),
    "Qwen3-235B-A22B": (94, 64, 4, 128, 4096, 151936, 40960),
    "Qwen3-VL-235B-A22B": (94, 64, 4, 128, 4096, 151936, 262144),
    "Qwen3.5-27B": (64, 24, 4, 256, 5120, 248320, 262144),
    "Qwen3.5-35B-A3B": (40, 16, 2, 256, 2048, 248320, 262144),
    "Qwen3.5-122B-A10B": (48, 32, 2, 256, 3072, 248320, 262144),
    "Qwen3.5-397B-A17B": (60, 32, 2, 256, 4096, 248320, 262144),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_shapes(name: str) -> None:
    facts = read_architecture(ARCHITECTURES[name])
    assert facts.family is not None and facts.dtype == "bfloat16"
    assert (
        facts.layers,
        facts.heads,
        facts.kv_heads,
        facts.head_dim,
        facts.hidden_size,
        facts.vocab_size,
        facts.max_positions,
    ) == SHAPES[name]


# routed experts, active, shared, layers with experts, MTP layers
EXPERTS: dict[str, tuple[int | None, ...]] = {
    "DeepSeek-R1": (256, 8, 1, 58, 1),
    "Kimi-K2-Instruct": (384, 8, 1, 60, 0),
    "GLM-5": (256, 8, 1, 75, 1),
    "MiniMax-M2": (256, 8, None, 62, 0),
    "Qwen3-235B-A22B": (128, 8, None, 94, 0),
    "Qwen3.5-397B-A17B": (512, 10, 1, 60, 1),
    "Qwen3-32B": (None, None, None, None, 0),
    "Qwen3.5-27B": (None, None, None, None, 1),
}


@pytest.mark.parametrize("name", EXPERTS)
def test_experts_and_mtp(name: str) -> None:
    facts = read_architecture(ARCHITECTURES[name])
    found = (
        facts.experts,
        facts.experts_per_token,
        facts.shared_experts,
        facts.moe_layers,
        facts.mtp_layers,
    )
    assert found == EXPERTS[name]
    assert facts.is_moe == bool(facts.experts)


def test_latent_attention() -> None:
    facts = read_architecture(ARCHITECTURES["Kimi-K2-Instruct"])
    assert facts.attention == "mla"
    assert (facts.q_lora_rank, facts.kv_lora_rank) == (1536, 512)
    assert (facts.nope_head_dim, facts.rope_head_dim, facts.v_head_dim) == (128, 64, 128)
    assert facts.kv_bytes_per_token == 61 * (512 + 64) * 2
    assert facts.rope_scaling is not None and facts.rope_scaling["rope_type"] == "yarn"
    assert facts.rope_scaling["factor"] == 64 and facts.rope_theta == 50000


def test_kinds_of_attention() -> None:
    hybrid = read_architecture(ARCHITECTURES["Qwen3.5-27B"])
    assert hybrid.layer_types == {"linear_attention": 48, "full_attention": 16} and hybrid.vision
    sparse = read_architecture(ARCHITECTURES["GLM-5"])
    assert sparse.layer_types == {"sparse_attention": 78} and sparse.index_topk == 2048
    assert sparse.rope_scaling is None and sparse.rope_theta == 1000000


V4 = {
    "model_type": "deepseek_v4",
    "num_hidden_layers": 6,
    "num_attention_heads": 64,
    "num_key_value_heads": 1,
    "head_dim": 512,
    "n_routed_experts": 256,
    "num_nextn_predict_layers": 1,
    "sliding_window": 128,
    "compress_ratios": [0, 0, 4, 128, 4, 128, 0],
}


def test_deepseek_v4_names_its_layers_by_compression() -> None:
    facts = read_architecture(V4)
    assert facts.layer_types == {
        "sliding_attention": 2,
        "compressed_sparse_attention": 2,
        "heavily_compressed_attention": 2,
    }
    assert (facts.kv_heads, facts.head_dim, facts.mtp_layers) == (1, 512, 1)


def _config(model_type: str, **more: Any) -> dict[str, Any]:
    base = {"num_hidden_layers": 6, "num_attention_heads": 8, "hidden_size": 512}
    return {"model_type": model_type, **base, **more}


# What configuration classes assume where config.json is silent: KV heads, head size, tied.
SILENT: dict[str, tuple[dict[str, Any], tuple[int, int, bool]]] = {
    "Llama": (_config("llama"), (8, 64, False)),
    "Mistral": (_config("mistral"), (8, 64, False)),
    "Mixtral": (_config("mixtral", num_local_experts=8), (8, 64, False)),
    "Qwen2": (_config("qwen2"), (8, 64, False)),
    "Qwen3": (_config("qwen3"), (8, 128, False)),
    "Gemma": (_config("gemma"), (8, 256, True)),
    "Gemma 2": (_config("gemma2", num_key_value_heads=4), (4, 256, True)),
    "Gemma 3": (_config("gemma3_text", num_key_value_heads=4), (4, 256, True)),
    "gpt-oss": (_config("gpt_oss", num_key_value_heads=8), (8, 64, False)),
}


@pytest.mark.parametrize("family", SILENT)
def test_defaults_of_families(family: str) -> None:
    config, expected = SILENT[family]
    facts = read_architecture(config)
    assert facts.family == family
    assert (facts.kv_heads, facts.head_dim, facts.tied_embeddings) == expected


def test_vision_variants_tell_of_their_language_model() -> None:
    for outer, inner in (
        ("gemma3", "gemma3_text"),
        ("qwen2_vl", "qwen2_vl_text"),
        ("qwen2_5_vl", "qwen2_5_vl_text"),
        ("llama4", "llama4_text"),
        ("mistral3", "mistral"),
        ("mllama", "mllama_text_model"),
    ):
        text = _config(inner, num_key_value_heads=2, head_dim=64)
        facts = read_architecture({"model_type": outer, "text_config": text, "vision_config": {}})
        assert facts.vision and facts.family is not None and facts.layers == 6
        assert (facts.kv_heads, facts.head_dim) == (2, 64), outer
    flat = read_architecture({**_config("qwen2_vl"), "vision_config": {"depth": 2}})
    assert flat.vision and flat.layers == 6


def test_sliding_windows() -> None:
    gemma = read_architecture(_config("gemma3_text", sliding_window=512))
    assert gemma.layer_types == {"sliding_attention": 5, "full_attention": 1}
    kinds = ["sliding_attention", "full_attention"] * 3
    oss = read_architecture(_config("gpt_oss", sliding_window=128, layer_types=kinds))
    assert oss.layer_types == {"sliding_attention": 3, "full_attention": 3}


def test_dense_layers_among_experts() -> None:
    llama4 = _config("llama4_text", num_local_experts=16, interleave_moe_layer_step=2)
    assert read_architecture(llama4).moe_layers == 3
    qwen = _config("qwen3_moe", num_experts=8, decoder_sparse_step=1, mlp_only_layers=[0, 5])
    assert read_architecture(qwen).moe_layers == 4


def test_an_unknown_type_is_reported_and_nothing_is_guessed() -> None:
    facts = read_architecture(_config("invented", torch_dtype="float16"))
    assert facts.family is None and facts.attention is None
    assert (facts.layers, facts.heads, facts.dtype) == (6, 8, "float16")
    assert facts.kv_heads is None and facts.head_dim is None and not facts.layer_types
    assert facts.mtp_layers is None and facts.tied_embeddings is None


@pytest.mark.parametrize(
    "config",
    [
        # Jamba: experts in every second layer, as only its own code knows
        {"model_type": "jamba", "expert_layer_period": 2, "expert_layer_offset": 1},
        {},
        {"first_k_dense_replace": 1, "moe_layer_freq": 2},
        {"decoder_sparse_step": 2, "mlp_only_layers": []},
        {"shared_expert_intermediate_size": 64, "index_topk": 64, "full_attention_interval": 2},
        {"sliding_window": 64, "sliding_window_pattern": 2, "compress_ratios": [0] * 6},
        {"no_rope_layers": [1] * 6, "cross_attention_layers": [3]},
    ],
)
def test_keys_of_an_unknown_type_are_not_interpreted(config: dict[str, Any]) -> None:
    facts = read_architecture({"num_hidden_layers": 6, "num_experts": 8, **config})
    assert facts.experts == 8 and facts.family is None
    assert facts.moe_layers is None and facts.shared_experts is None and not facts.layer_types


def test_what_an_unknown_type_lists_counts() -> None:
    base = {"model_type": "new", "num_hidden_layers": 4, "num_experts": 8}
    for layers in (
        {"moe_layers": [1, 3]},
        {"mlp_only_layers": [0, 2]},
        {"mlp_layer_types": ["dense", "sparse", "dense", "sparse"]},
    ):
        assert read_architecture({**base, **layers}).moe_layers == 2, layers
    kinds = ["mamba", "mamba", "mamba", "attention"]
    listed = read_architecture({**base, "layer_types": kinds, "num_nextn_predict_layers": 1})
    assert listed.layer_types == {"mamba": 3, "attention": 1} and listed.mtp_layers == 1
    odd = read_architecture({**base, "mlp_layer_types": ["dense", "strange"]})
    assert odd.moe_layers is None


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"num_hidden_layers": -1, "hidden_size": "large", "num_attention_heads": True},
        {"model_type": "qwen3", "num_hidden_layers": 10**30, "rope_scaling": [1]},
        {"model_type": ["qwen3"], "architectures": "x", "text_config": 3},
        {"model_type": "gemma3_text", "num_hidden_layers": 10**9, "sliding_window": 4},
        {"model_type": "llama4", "num_hidden_layers": 10**9, "no_rope_layers": {}},
        {"model_type": "mllama", "num_hidden_layers": 10**9, "cross_attention_layers": [[], "3"]},
        {"num_hidden_layers": 10**9, "num_experts": 2, "mlp_layer_types": [[]], "moe_layers": 1},
    ],
)
def test_nonsense_is_not_believed(config: dict[str, Any]) -> None:
    facts = read_architecture(config)
    assert isinstance(facts, Architecture)
    assert facts.layers is None or facts.layers == 10**9


def test_families_name_no_unknown_field() -> None:
    known = {
        "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
        "num_attention_heads", "num_key_value_heads", "head_dim", "max_position_embeddings",
        "tie_word_embeddings", "rope_theta", "full_attention_interval",
        "use_sliding_window", "sliding_window", "sliding_window_pattern", "max_window_layers",
        "num_experts", "num_local_experts", "num_experts_per_tok", "moe_intermediate_size",
        "n_shared_experts", "shared_expert_intermediate_size", "interleave_moe_layer_step",
    }  # fmt: skip
    for family in FAMILIES.values():
        assert set(family.defaults) <= known
