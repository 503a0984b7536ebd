"""Reading whole checkpoints, and what is wrong with incomplete ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from registry.checkpoint import Tensor, open_checkpoint
from registry.checkpoint.architecture import read_architecture
from registry.checkpoint.components import component_of
from registry.checkpoint.facts import read_facts
from registry.checkpoint.quantization.layers import is_linear_weight
from registry.errors import IntegrityError, NotFoundError, UsageError
from tests.checkpoints import CONFIG, FLOAT, LAYER, write_model, write_quantized, write_sharded


def test_one_shard_and_two_shards_hold_the_same(tmp_path: Path) -> None:
    single = open_checkpoint(write_model(tmp_path / "one"))
    double = open_checkpoint(write_sharded(tmp_path / "two"))
    assert set(single.tensors) == set(double.tensors) == set(FLOAT)
    assert single.weight_bytes == double.weight_bytes
    assert double.shards == (
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    )


def test_missing_things_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="does not exist"):
        open_checkpoint(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        open_checkpoint(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match="is empty"):
        open_checkpoint(tmp_path / "empty")
    model = write_model(tmp_path / "m")
    (model / "config.json").unlink()
    with pytest.raises(NotFoundError, match=r"no config\.json"):
        open_checkpoint(model)
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(NotFoundError, match="safetensors"):
        open_checkpoint(model)


def test_an_index_that_names_a_missing_shard(tmp_path: Path) -> None:
    model = write_sharded(tmp_path / "m")
    (model / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(NotFoundError, match="model-00002-of-00002"):
        open_checkpoint(model)


def test_an_index_that_contradicts_its_shards(tmp_path: Path) -> None:
    model = write_sharded(tmp_path / "m")
    path = model / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"]["model.norm.weight"] = "model-00002-of-00002.safetensors"
    index["weight_map"]["extra.weight"] = "model-00001-of-00002.safetensors"
    path.write_text(json.dumps(index))
    with pytest.raises(IntegrityError, match="does not hold it"):
        open_checkpoint(model)


def test_an_index_cannot_point_outside(tmp_path: Path) -> None:
    model = write_sharded(tmp_path / "m")
    path = model / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"a": "../secret.safetensors"}}))
    with pytest.raises(IntegrityError, match="safe relative path"):
        open_checkpoint(model)


def test_a_truncated_shard(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m")
    shard = model / "model.safetensors"
    shard.write_bytes(shard.read_bytes()[:-7])
    with pytest.raises(IntegrityError, match="truncated"):
        open_checkpoint(model)


def test_a_tensor_in_two_shards(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m")
    (model / "other.safetensors").write_bytes((model / "model.safetensors").read_bytes())
    with pytest.raises(IntegrityError, match=r"other\.safetensors"):
        open_checkpoint(model)


def test_a_link_out_of_the_folder_is_read_but_not_published(tmp_path: Path) -> None:
    """Snapshots of the Hugging Face cache are folders of links."""
    from registry.describe import describe_folder

    model = write_model(tmp_path / "m")
    blob = tmp_path / "blob"
    (model / "model.safetensors").rename(blob)
    (model / "model.safetensors").symlink_to(blob)
    assert open_checkpoint(model).weight_bytes > 0
    with pytest.raises(IntegrityError, match="outside the folder"):
        describe_folder(model)


def test_schemes_of_a_float_and_a_quantized_model(tmp_path: Path) -> None:
    before = read_facts(open_checkpoint(write_model(tmp_path / "f"))).quantization
    assert (before.method, before.scheme) == ("none", "FLOAT")
    after = read_facts(open_checkpoint(write_quantized(tmp_path / "q"))).quantization
    assert (after.method, after.scheme) == ("compressed-tensors", "W8A8_DYNAMIC")
    assert after.schemes == {
        "attention": {"W8A8_DYNAMIC": 4},
        "lm_head": {"FLOAT": 1},
        "mlp": {"W8A8_DYNAMIC": 3},
    }
    assert after.ignored == ("lm_head",)


def test_modelslim_is_classified_by_its_tensors(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m")
    description = {"version": "1.0.0", "model_quant_type": "FLOAT", "group_size": 64}
    description |= dict.fromkeys(FLOAT, "FLOAT")
    description[f"{LAYER}.mlp.down_proj.weight"] = "W4A8_DYNAMIC"
    (model / "quant_model_description.json").write_text(json.dumps(description))
    found = read_facts(open_checkpoint(model)).quantization
    assert (found.method, found.scheme, found.group_size) == ("modelslim", "W4A8_DYNAMIC", 64)
    assert found.schemes["mlp"] == {"FLOAT": 2, "W4A8_DYNAMIC": 1}


def test_the_footprint_sums_to_the_files(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(write_quantized(tmp_path / "q"))
    footprint = read_facts(checkpoint).footprint
    assert footprint["weights"] == checkpoint.weight_bytes
    assert sum(footprint["by_dtype"].values()) == checkpoint.weight_bytes
    assert sum(footprint["by_component"].values()) == checkpoint.weight_bytes
    assert footprint["weights"] + footprint["headers"] == checkpoint.files["model.safetensors"]
    assert footprint["by_component"]["quantization_scales"] == 2 * (8 + 4 + 4 + 8 + 16 + 16 + 8)
    # Scales are no parameters: there are as many as before quantization.
    float_model = read_facts(open_checkpoint(write_model(tmp_path / "f"))).footprint
    for key in ("parameters", "parameters_by_component"):
        assert footprint[key] == float_model[key]


@pytest.mark.parametrize(
    ("name", "shape", "linear"),
    [
        ("model.layers.0.mlp.up_proj.weight", [4, 4], True),
        ("model.layers.0.mlp.experts.gate_up_proj", [2, 4, 4], True),
        ("model.layers.0.linear_attn.conv1d.weight", [4, 1, 4], False),
        ("visual.patch_embed.proj.weight", [4, 3, 2, 2, 2], False),
        ("model.decoder.embed_positions.weight", [4, 4], False),
        ("transformer.wpe.weight", [4, 4], False),
        ("model.norm.weight", [4], False),
    ],
)
def test_which_weights_are_linear(name: str, shape: list[int], linear: bool) -> None:
    assert is_linear_weight(Tensor(name, "BF16", tuple(shape), 0, "x")) == linear


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("model.embed_tokens.weight", "embedding"),
        ("lm_head.weight", "lm_head"),
        ("model.norm.weight", "norm"),
        ("model.layers.3.self_attn.q_norm.weight", "norm"),
        ("model.layers.3.self_attn.q_proj.weight", "attention"),
        ("model.layers.3.mlp.gate.weight", "router"),
        ("model.layers.3.mlp.gate_proj.weight", "mlp"),
        ("model.layers.3.mlp.experts.7.up_proj.weight", "experts"),
        ("model.layers.3.mlp.experts.gate_up_proj", "experts"),
        ("model.layers.3.mlp.shared_experts.up_proj.weight", "shared_experts"),
        ("language_model.model.layers.3.cross_attn.q_proj.weight", "attention"),
        ("language_model.model.layers.3.cross_attn.k_norm.weight", "norm"),
        ("language_model.model.layers.3.cross_attn_attn_gate", "attention"),
        ("language_model.model.layers.3.cross_attn_mlp_gate", "mlp"),
        ("visual.blocks.0.attn.qkv.weight", "vision"),
        ("mtp.layers.0.mlp.up_proj.weight", "mtp"),
        ("something.else", "other"),
    ],
)
def test_components(name: str, component: str) -> None:
    assert component_of(name) == component


def test_architecture_facts() -> None:
    facts = read_architecture(CONFIG)
    assert (facts.layers, facts.heads, facts.kv_heads, facts.head_dim) == (1, 2, 1, 4)
    assert facts.kv_bytes_per_token == 2 * 1 * 4 * 2 * 1
    assert not facts.is_moe
    unknown = read_architecture({"model_type": "new"})
    assert (unknown.layers, unknown.kv_bytes_per_token) == (None, None)


def test_the_kv_cache_of_mla_is_not_counted_by_heads() -> None:
    """DeepSeek V3: 61 layers of a latent vector of 512 and 64 of RoPE, 68.6 KiB a token."""
    config = {"num_hidden_layers": 61, "num_attention_heads": 128, "hidden_size": 7168}
    facts = read_architecture({**config, "kv_lora_rank": 512, "qk_rope_head_dim": 64})
    assert facts.kv_bytes_per_token == 70272
