"""Coverage: what a recipe names is quantized, whatever the tool says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from quantizers.coverage import coverage
from quantizers.llmcompressor import LLMCompressor
from quantizers.llmcompressor.recipe import parse_stages
from registry.checkpoint import Checkpoint, open_checkpoint
from registry.checkpoint.facts import read_facts
from tests.checkpoints import CONFIG, FLOAT, INT8_CONFIG, LAYER, quantized_tensors, write_model

INT8 = {**CONFIG, "quantization_config": INT8_CONFIG}
RULE = [{"targets": ["Linear"], "ignore": ["lm_head", r"re:.*mlp\.gate$"]}]


def uncovered_layers(
    before: Checkpoint, after: Checkpoint, rules: list[dict[str, Any]]
) -> list[str]:
    """What a recipe of LLM-Compressor's names, and the output has in floating point."""
    steps = {f"M{n}": {"scheme": "INT8", **rule} for n, rule in enumerate(rules)}
    recipe = parse_stages(json.dumps({"stages": {"s": {"q_modifiers": steps}}}), "r", "r.yaml")
    intent = LLMCompressor().intent(before, recipe)
    return list(coverage(intent, read_facts(after)).missed)


def _float(folder: Path) -> Checkpoint:
    return open_checkpoint(write_model(folder))


def test_a_fully_quantized_model(tmp_path: Path) -> None:
    after = open_checkpoint(write_model(tmp_path / "q", quantized_tensors(), INT8))
    assert uncovered_layers(_float(tmp_path / "f"), after, RULE) == []


def test_a_layer_left_float_is_named(tmp_path: Path) -> None:
    tensors = quantized_tensors()
    name = f"{LAYER}.mlp.down_proj.weight"
    tensors[name] = FLOAT[name]
    after = open_checkpoint(write_model(tmp_path / "q", tensors, INT8))
    assert uncovered_layers(_float(tmp_path / "f"), after, RULE) == [f"{LAYER}.mlp.down_proj"]


def test_integers_without_a_scale_are_not_quantized(tmp_path: Path) -> None:
    tensors = quantized_tensors()
    del tensors[f"{LAYER}.self_attn.o_proj.weight_scale"]
    after = open_checkpoint(write_model(tmp_path / "q", tensors, INT8))
    assert uncovered_layers(_float(tmp_path / "f"), after, RULE) == [f"{LAYER}.self_attn.o_proj"]


def test_lm_head_counts_only_if_it_is_not_ignored(tmp_path: Path) -> None:
    after = open_checkpoint(write_model(tmp_path / "q", quantized_tensors(), INT8))
    rule = [{"targets": "Linear", "ignore": []}]
    assert uncovered_layers(_float(tmp_path / "f"), after, rule) == ["lm_head"]


def test_targets_by_name(tmp_path: Path) -> None:
    before = _float(tmp_path / "f")
    rule = [{"targets": ["re:.*self_attn.*"]}, {"targets": [f"{LAYER}.mlp.up_proj"]}]
    assert uncovered_layers(before, before, rule) == [
        f"{LAYER}.mlp.up_proj",
        *(f"{LAYER}.self_attn.{p}_proj" for p in "koqv"),
    ]


def test_fused_experts_that_stayed_float_are_found(tmp_path: Path) -> None:
    """Both tools can end well and leave experts that are one 3-D tensor as they were."""
    fused = {
        f"{LAYER}.mlp.experts.gate_up_proj": ("BF16", [2, 8, 16]),
        f"{LAYER}.mlp.experts.down_proj": ("BF16", [2, 8, 8]),
        f"{LAYER}.mlp.gate.weight": ("BF16", [2, 8]),
    }
    before = open_checkpoint(write_model(tmp_path / "f", fused, CONFIG))
    missed = uncovered_layers(before, before, RULE)
    assert len(missed) == 2 * 3
    assert f"{LAYER}.mlp.experts.1.up_proj" in missed
    separate = {
        f"{layer}.{part}": (dtype, shape)
        for layer in missed
        for part, dtype, shape in (("weight", "I8", [8, 8]), ("weight_scale", "BF16", [8, 1]))
    }
    after = open_checkpoint(write_model(tmp_path / "q", separate, INT8))
    assert uncovered_layers(before, after, RULE) == []
