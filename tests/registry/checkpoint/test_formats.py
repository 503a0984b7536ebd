"""Formats that no quantizer here writes: AWQ, GPTQ, bitsandbytes, FP8, MXFP4, ModelOpt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from registry.checkpoint import open_checkpoint
from registry.checkpoint.facts import Facts, read_facts
from registry.finding import Finding
from registry.lint import lint as lint_source
from registry.source import LocalSource
from tests.checkpoints import CONFIG, FLOAT, LAYER, write_model, write_shard

Shapes = dict[str, tuple[str, list[int]]]
Q = f"{LAYER}.self_attn.q_proj"


def lint(folder: Path) -> tuple[Facts, tuple[Finding, ...]]:
    return lint_source(LocalSource(folder))


def _facts(folder: Path, layer: Shapes, config: dict[str, Any]) -> Facts:
    """The tiny model with the query projection stored in another way."""
    tensors = {name: value for name, value in FLOAT.items() if not name.startswith(Q)}
    model = write_model(folder, {**tensors, **layer}, {**CONFIG, "quantization_config": config})
    return read_facts(open_checkpoint(model))


# Name: tensors of the layer, quantization_config, and: scheme, group size, symmetric weights.
FORMATS: dict[str, tuple[Shapes, dict[str, Any], tuple[Any, ...]]] = {
    "awq": (
        {
            f"{Q}.qweight": ("I32", [8, 1]),
            f"{Q}.qzeros": ("I32", [1, 1]),
            f"{Q}.scales": ("F16", [1, 8]),
        },
        {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True},
        ("W4A16", 128, False),
    ),
    "gptq": (
        {
            f"{Q}.qweight": ("I32", [1, 8]),
            f"{Q}.qzeros": ("I32", [1, 1]),
            f"{Q}.scales": ("F16", [1, 8]),
            f"{Q}.g_idx": ("I32", [8]),
        },
        {"quant_method": "gptq", "bits": 4, "group_size": 64, "sym": True},
        ("W4A16", 64, True),
    ),
    "gptq with a layer of other bits": (
        {
            f"{Q}.qweight": ("I32", [2, 8]),
            f"{Q}.qzeros": ("I32", [1, 2]),
            f"{Q}.scales": ("F16", [1, 8]),
            f"{Q}.g_idx": ("I32", [8]),
        },
        {"quant_method": "gptq", "bits": 4, "group_size": 64, "sym": True},
        ("W8A16", 64, True),
    ),
    "awq that does not tell its bits": (
        {
            f"{Q}.qweight": ("I32", [8, 1]),
            f"{Q}.qzeros": ("I32", [1, 1]),
            f"{Q}.scales": ("F16", [1, 8]),
        },
        {"quant_method": "awq", "zero_point": True},
        ("W4A16", None, False),
    ),
    "compressed-tensors' marlin-24": (
        {
            f"{Q}.weight_packed": ("I32", [1, 4]),
            f"{Q}.scale_packed": ("F16", [1, 8]),
            f"{Q}.meta": ("I16", [1, 8]),
        },
        {
            "quant_method": "compressed-tensors",
            "format": "marlin-24",
            "config_groups": {
                "group_0": {
                    "targets": ["Linear"],
                    "weights": {"num_bits": 4, "strategy": "group", "group_size": 128},
                }
            },
        },
        ("W4A16", 128, True),
    ),
    "bitsandbytes 4 bits": (
        {
            f"{Q}.weight": ("U8", [32, 1]),
            f"{Q}.weight.absmax": ("U8", [1]),
            f"{Q}.weight.quant_map": ("F32", [16]),
            f"{Q}.weight.nested_absmax": ("F32", [1]),
            f"{Q}.weight.nested_quant_map": ("F32", [256]),
            f"{Q}.weight.quant_state.bitsandbytes__nf4": ("U8", [20]),
        },
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
        ("W4A16_NF4", None, True),
    ),
    "bitsandbytes 8 bits": (
        {f"{Q}.weight": ("I8", [8, 8]), f"{Q}.SCB": ("F32", [8]), f"{Q}.weight_format": ("U8", [])},
        {"load_in_8bit": True, "llm_int8_skip_modules": ["lm_head"]},
        ("W8A16_LLM_INT8", None, True),
    ),
    "fp8 in blocks": (
        {f"{Q}.weight": ("F8_E4M3", [8, 8]), f"{Q}.weight_scale_inv": ("F32", [1, 1])},
        {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"},
        ("W8A8FP8_BLOCK", None, True),
    ),
    "fp8 a tensor": (
        {
            f"{Q}.weight": ("F8_E4M3", [8, 8]),
            f"{Q}.weight_scale": ("F32", []),
            f"{Q}.input_scale": ("F32", []),
        },
        {"quant_method": "fp8", "activation_scheme": "static"},
        ("W8A8FP8_TENSOR", None, True),
    ),
    "fp8 a tensor, dynamic": (
        {f"{Q}.weight": ("F8_E4M3", [8, 8]), f"{Q}.weight_scale": ("F32", [])},
        {"quant_method": "fp8", "activation_scheme": "dynamic"},
        ("W8A8FP8_TENSOR_DYNAMIC", None, True),
    ),
    "NVIDIA ModelOpt": (
        {
            f"{Q}.weight": ("U8", [8, 4]),
            f"{Q}.weight_scale": ("F8_E4M3", [8, 1]),
            f"{Q}.input_scale": ("F32", []),
        },
        {"quant_method": "modelopt", "quant_algo": "NVFP4"},
        ("W4A4_NVFP4", None, None),
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats_are_recognised(name: str, tmp_path: Path) -> None:
    layer, config, (scheme, group_size, symmetric) = FORMATS[name]
    facts = _facts(tmp_path / "m", layer, config)
    quantization = facts.quantization
    assert quantization.method == config.get("quant_method", "bitsandbytes")
    assert quantization.schemes["attention"] == {"FLOAT": 3, scheme: 1}
    assert (quantization.group_size, quantization.symmetric["weights"]) == (group_size, symmetric)
    # However it is packed, the layer has 64 weights; its scales are no parameters.
    assert facts.footprint["parameters_by_component"]["attention"] == 64 + 32 + 32 + 64
    assert "other" not in facts.footprint["by_component"]


def test_experts_of_gpt_oss_are_one_tensor(tmp_path: Path) -> None:
    experts = f"{LAYER}.mlp.experts"
    layer: Shapes = {
        f"{Q}.weight": ("BF16", [8, 8]),
        f"{experts}.gate_up_proj_blocks": ("U8", [4, 32, 1, 16]),
        f"{experts}.gate_up_proj_scales": ("U8", [4, 32, 1]),
        f"{experts}.gate_up_proj_bias": ("BF16", [4, 32]),
        f"{LAYER}.mlp.router.weight": ("BF16", [4, 8]),
        f"{LAYER}.self_attn.sinks": ("BF16", [2]),
    }
    facts = _facts(tmp_path / "m", layer, {"quant_method": "mxfp4"})
    assert facts.quantization.schemes["moe"] == {"W4A16_MXFP4": 1}
    assert facts.quantization.group_size == 32
    assert facts.footprint["parameters_by_component"]["experts"] == 4 * 32 * 32 + 4 * 32
    assert facts.footprint["by_component"]["router"] == 4 * 8 * 2


def test_a_method_that_nobody_knows_is_named_and_not_guessed(tmp_path: Path) -> None:
    layer: Shapes = {f"{Q}.weight": ("I8", [8, 8]), f"{Q}.magic": ("F32", [1])}
    quantization = _facts(tmp_path / "m", layer, {"quant_method": "invented"}).quantization
    assert quantization.method == "invented"
    assert quantization.schemes["attention"] == {"FLOAT": 3, "UNKNOWN": 1}


def test_values_that_are_not_stored_count_as_parameters(tmp_path: Path) -> None:
    layer: Shapes = {
        f"{Q}.compressed": ("BF16", [32]),
        f"{Q}.bitmask": ("U8", [8, 1]),
        f"{Q}.row_offsets": ("I64", [8]),
        f"{Q}.shape": ("I64", [2]),
    }
    sparse = {"quant_method": "compressed-tensors", "sparsity_config": {"format": "sparse-bitmask"}}
    facts = _facts(tmp_path / "m", layer, sparse)
    assert facts.quantization.schemes["attention"] == {"FLOAT": 4}
    assert facts.footprint["parameters_by_component"]["attention"] == 64 + 32 + 32 + 64
    _, findings = lint(tmp_path / "m")
    assert not [finding for finding in findings if finding.severity == "error"]


def test_groups_that_differ_have_no_common_size_or_symmetry(tmp_path: Path) -> None:
    def group(target: str, size: int, symmetric: bool) -> dict[str, Any]:
        weights = {"num_bits": 4, "strategy": "group", "group_size": size, "symmetric": symmetric}
        return {"targets": [target], "weights": weights}

    layer: Shapes = {
        f"{Q}.weight_packed": ("I32", [8, 1]),
        f"{Q}.weight_scale": ("BF16", [8, 1]),
    }
    for second, expected in (((64, True), (64, True)), ((32, False), (None, None))):
        groups = {"a": group("re:.*q_proj", 64, True), "b": group("re:.*mlp.*", *second)}
        config = {"quant_method": "compressed-tensors", "config_groups": groups}
        found = _facts(tmp_path / f"m{second[0]}", layer, config).quantization
        assert (found.group_size, found.symmetric["weights"]) == expected


def test_group_sizes_of_modelslim_are_those_of_the_scales(tmp_path: Path) -> None:
    """The description may say another number, or none."""
    tensors: Shapes = {
        **{name: value for name, value in FLOAT.items() if not name.startswith(Q)},
        f"{Q}.weight": ("I8", [8, 8]),
        f"{Q}.weight_scale": ("F32", [8, 2]),
        f"{Q}.weight_offset": ("F32", [8, 2]),
    }
    for described in (0, 64):
        model = write_model(tmp_path / f"m{described}", tensors)
        description = {
            **dict.fromkeys(tensors, "FLOAT"),
            **{n: "W8A16" for n in tensors if n.startswith(Q)},
            "group_size": described,
        }
        (model / "quant_model_description.json").write_text(json.dumps(description))
        facts = read_facts(open_checkpoint(model))
        assert facts.quantization.group_size == 4
        _, findings = lint(model)
        assert any("one a channel" in finding.message for finding in findings)


def test_safetensors_beside_the_model_are_counted_apart(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m")
    (model / "optional").mkdir()
    write_shard(model / "optional" / "quarot.safetensors", {"x": ("F32", [4])})
    footprint = read_facts(open_checkpoint(model)).footprint
    sizes = sum(path.stat().st_size for path in model.rglob("*.safetensors"))
    assert footprint["weights"] + footprint["headers"] + footprint["beside"] == sizes
