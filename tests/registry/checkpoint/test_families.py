"""What config.json leaves to its family: published configurations, against transformers 5.17.

Expected values are those of its configuration classes, made from the same config.json.
"""

from __future__ import annotations

from typing import Any

import pytest

from registry.checkpoint.architecture import Architecture, read_architecture

Config = dict[str, Any]


def _sizes(facts: Architecture) -> tuple[int | None, ...]:
    """Layers, heads, KV heads, head size, hidden, vocabulary, positions."""
    return (
        facts.layers,
        facts.heads,
        facts.kv_heads,
        facts.head_dim,
        facts.hidden_size,
        facts.vocab_size,
        facts.max_positions,
    )


# As Google published it.
GEMMA3_4B: Config = {
    "architectures": ["Gemma3ForConditionalGeneration"],
    "model_type": "gemma3",
    "text_config": {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "model_type": "gemma3_text",
        "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    },
    "torch_dtype": "bfloat16",
    "vision_config": {"model_type": "siglip_vision_model"},
}


def test_gemma_3_as_published() -> None:
    facts = read_architecture(GEMMA3_4B)
    assert _sizes(facts) == (34, 8, 4, 256, 2560, 262208, 131072)
    assert facts.layer_types == {"sliding_attention": 29, "full_attention": 5}
    assert (facts.sliding_window, facts.rope_theta, facts.tied_embeddings) == (1024, 1e6, True)
    assert facts.rope_scaling == {"rope_type": "linear", "factor": 8.0}


# Language models whose section says no more than its type; the class knows the rest.
CLASSES: dict[str, tuple[Config, tuple[int, ...]]] = {
    "gemma2": ({}, (26, 8, 4, 256, 2304, 256000, 8192)),
    "llama": ({"vocab_size": 32064}, (32, 32, 32, 128, 4096, 32064, 2048)),
    "llama4_text": ({}, (48, 40, 8, 128, 5120, 202048, 131072)),
    "mllama_text_model": ({}, (40, 32, 8, 128, 4096, 128256, 131072)),
    "mistral": ({"hidden_size": 5120}, (32, 32, 8, 160, 5120, 32000, 131072)),
    "ministral3": ({"hidden_size": 3072}, (34, 32, 8, 128, 3072, 131072, 262144)),
    "qwen2_vl_text": ({}, (80, 64, 8, 128, 8192, 152064, 32768)),
    "qwen2_5_vl_text": ({}, (80, 64, 8, 128, 8192, 152064, 32768)),
    "qwen3_vl_text": ({}, (32, 32, 32, 128, 4096, 151936, 128000)),
    "qwen3_vl_moe_text": ({}, (24, 16, 16, 128, 2048, 151936, 128000)),
    "qwen3_5_moe_text": ({}, (40, 16, 2, 256, 2048, 248320, 32768)),
    "gpt_oss": ({}, (36, 64, 8, 64, 2880, 201088, 131072)),
}


@pytest.mark.parametrize("model_type", CLASSES)
def test_a_section_is_filled_by_the_class_of_its_own_type(model_type: str) -> None:
    said, expected = CLASSES[model_type]
    text = {"model_type": model_type, **said}
    assert _sizes(read_architecture({"model_type": "llava", "text_config": text})) == expected
    assert _sizes(read_architecture(text)) == expected


def test_a_composite_model_bears_its_own_name() -> None:
    text = {"model_type": "ministral3", "hidden_size": 3072}
    facts = read_architecture({"model_type": "mistral3", "text_config": text})
    assert facts.family == "Mistral 3"
    assert (facts.max_positions, facts.sliding_window) == (262144, None)


def test_what_is_said_goes_before_defaults() -> None:
    """Also under another name for it, and also if it is null."""
    config = {"model_type": "mixtral", "num_experts": 4, "num_attention_heads": 8}
    facts = read_architecture({**config, "num_key_value_heads": None})
    assert (facts.experts, facts.kv_heads) == (4, 8)


def test_rope_of_each_kind_of_layer() -> None:
    """transformers 5 writes a table for each kind; full attention's is the model's."""
    rope = {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
    }
    for model_type in ("gemma3_text", "invented"):
        facts = read_architecture({"model_type": model_type, "rope_parameters": rope})
        assert facts.rope_theta == 1e6
        assert facts.rope_scaling == {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6}
    only_local = {"sliding_attention": rope["sliding_attention"]}
    facts = read_architecture({"model_type": "gemma3_text", "rope_parameters": only_local})
    assert (facts.rope_theta, facts.rope_scaling) == (1e6, None)


def test_the_table_of_rope_goes_before_the_default_theta() -> None:
    table = {"rope_type": "default", "rope_theta": 5e5}
    assert read_architecture({"model_type": "llama", "rope_parameters": table}).rope_theta == 5e5
    assert read_architecture({"model_type": "llama"}).rope_theta == 10000


def _scout(**more: Any) -> Config:
    text = {"model_type": "llama4_text", "no_rope_layers": [], **more}
    return {"model_type": "llama4", "text_config": text, "vision_config": {}}


def test_llama_4() -> None:
    scout = read_architecture(_scout())
    assert scout.layer_types == {"chunked_attention": 36, "full_attention": 12}
    assert (scout.experts, scout.experts_per_token, scout.shared_experts) == (16, 1, 1)
    assert scout.moe_layers == 48
    maverick = read_architecture(_scout(num_local_experts=128, interleave_moe_layer_step=2))
    assert (maverick.moe_layers, maverick.shared_experts) == (24, 1)
    other = read_architecture(_scout(no_rope_layers=[1, 1, 0, 0] * 12))
    assert other.layer_types == {"chunked_attention": 24, "full_attention": 24}


def test_llama_3_2_vision() -> None:
    text = {
        "model_type": "mllama_text_model",
        "num_hidden_layers": 100,
        "cross_attention_layers": list(range(3, 100, 5)),
    }
    large = read_architecture({"model_type": "mllama", "text_config": text, "vision_config": {}})
    assert large.layer_types == {"full_attention": 80, "cross_attention": 20}
    assert (large.vocab_size, large.embedding_rows) == (128256, 128264)
    small = read_architecture({"model_type": "mllama", "text_config": {}})
    assert small.layer_types == {"full_attention": 32, "cross_attention": 8}
    assert read_architecture({"model_type": "llama"}).embedding_rows == 32000


# Window, and layers that slide, of 12.
WINDOWS: dict[str, tuple[Config, int | None, int]] = {
    "Mistral 7B v0.1": ({"model_type": "mistral", "sliding_window": 4096}, 4096, 12),
    "Mistral 7B v0.2": ({"model_type": "mistral", "sliding_window": None}, None, 0),
    "Mistral, silent": ({"model_type": "mistral"}, 4096, 12),
    "Mixtral": ({"model_type": "mixtral"}, None, 0),
    "Gemma 2, silent": ({"model_type": "gemma2"}, 4096, 6),
    "gpt-oss": ({"model_type": "gpt_oss", "sliding_window": 128}, 128, 6),
}
_WINDOW = {"sliding_window": 32768, "max_window_layers": 8}
for _type, _sliding in (
    ("qwen2", 4),
    ("qwen2_vl", 4),
    ("qwen2_5_vl", 4),
    ("qwen3", 4),
    ("qwen2_moe", 4),
    ("qwen3_moe", 12),
):
    _config = {"model_type": _type, **_WINDOW}
    WINDOWS[f"{_type}, used"] = ({**_config, "use_sliding_window": True}, 32768, _sliding)
    WINDOWS[f"{_type}, not used"] = ({**_config, "use_sliding_window": False}, None, 0)
    WINDOWS[f"{_type}, silent"] = (_config, None, 0)


@pytest.mark.parametrize("name", WINDOWS)
def test_windows(name: str) -> None:
    config, window, sliding = WINDOWS[name]
    facts = read_architecture({"num_hidden_layers": 12, **config})
    assert facts.sliding_window == window
    assert facts.layer_types.get("sliding_attention", 0) == sliding
    assert sum(facts.layer_types.values()) == 12


def test_a_window_that_is_switched_off_is_none_of_any_type() -> None:
    config = {"model_type": "invented", "sliding_window": 64}
    assert read_architecture(config).sliding_window == 64
    assert read_architecture({**config, "use_sliding_window": False}).sliding_window is None


def test_deepseek_v4_without_ratios() -> None:
    facts = read_architecture({"model_type": "deepseek_v4", "num_hidden_layers": 43})
    kinds = {"heavily_compressed_attention": 23, "compressed_sparse_attention": 20}
    assert facts.layer_types == kinds
