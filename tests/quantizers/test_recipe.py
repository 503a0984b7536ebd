"""Recipes: shipped ones, a user's own, and what is not one."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantizers.catalogue import open_quantizer
from quantizers.interface import Options
from quantizers.llmcompressor.recipe import modifiers, parse_stages, quantizing
from quantizers.modelslim.practice import parse_practice, rules_of
from quantizers.recipe import Recipe, shipped
from registry.errors import NotFoundError, UsageError
from toolchains import Toolchain

NATIVE = """
quant_stage:
  quant_modifiers:
    QuantizationModifier: {targets: [Linear], scheme: FP8_DYNAMIC, ignore: [lm_head]}
"""


def load_recipe(text: str, tool: str) -> Recipe:
    def no_toolchain() -> Toolchain:
        raise AssertionError("only shipped practices need the toolchain")

    return open_quantizer(tool).load_recipe(text, Options(), no_toolchain)


@pytest.mark.parametrize("name", shipped("llmcompressor"))
def test_shipped_recipes_say_what_they_do(name: str) -> None:
    recipe = load_recipe(name, "llmcompressor")
    assert recipe.name == name
    assert recipe.title
    assert all("lm_head" in rule["ignore"] for rule in quantizing(recipe))


@pytest.mark.parametrize("name", shipped("modelslim"))
def test_shipped_practices_leave_heads_and_routers_alone(name: str) -> None:
    recipe = load_recipe(name, "modelslim")
    assert recipe.name == name and recipe.title
    assert recipe.body["metadata"]["config_id"] == f"qreg-{name}"
    rules = rules_of(recipe.body)
    assert rules and all(rule.scheme for rule in rules)
    for module in ("lm_head", "model.layers.3.mlp.gate", "model.layers.3.mlp.shared_expert_gate"):
        named = [rule for rule in rules if rule.include.match(module)]
        assert all(rule.exclude.match(module) for rule in named)


def test_which_recipes_calibrate() -> None:
    assert load_recipe("w8a8-dynamic", "llmcompressor").calibration is None
    smooth = load_recipe("w8a8-smooth", "llmcompressor")
    assert smooth.calibration is not None
    assert [name for name, _ in modifiers(smooth)] == ["SmoothQuantModifier", "GPTQModifier"]


def test_a_users_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(NATIVE)
    recipe = load_recipe(str(path), "llmcompressor")
    assert recipe.name == "mine"
    assert next(quantizing(recipe))["scheme"] == "FP8_DYNAMIC"
    assert recipe.text == NATIVE


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("- a", "not a mapping"),
        ("a: [", "not YAML"),
        ("name: x", "no stages"),
        (f"name: ../../evil\nstages:{NATIVE.replace(chr(10), chr(10) + '  ')}", "not a valid tag"),
        ("stages: {s: {q_modifiers: {SmoothQuantModifier: {}}}}", "quantizes nothing"),
        ("stages: {s: {m: {X: {scheme: INT8}}}}", "not 'm'"),
        ("stages: {s: 3}", "…_modifiers"),
        (f"calibration: {{samples: many}}\nstages:{NATIVE.replace(chr(10), chr(10) + '  ')}", "N"),
    ],
)
def test_what_is_not_a_recipe(content: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        parse_stages(content, "x", "x.yaml")


def test_unknown_and_foreign_recipes(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        load_recipe("w9a9", "llmcompressor")
    assert "w8a8-dynamic" in caught.value.remedy
    path = tmp_path / "other.yaml"
    path.write_text("tool: modelslim\nstages: {s: {q_modifiers: {X: {scheme: W8A8}}}}")
    with pytest.raises(UsageError, match="is for modelslim"):
        load_recipe(str(path), "llmcompressor")


def test_recipes_of_the_other_tool_say_whose_they_are(tmp_path: Path) -> None:
    for text, tool, other in (
        ("fp8-dynamic", "modelslim", "llmcompressor"),
        ("w8a8-moe", "llmcompressor", "modelslim"),
        ("practice:glm_5_w4a8", "llmcompressor", "modelslim"),
    ):
        with pytest.raises(NotFoundError) as missing:
            load_recipe(text, tool)
        assert f"use --tool {other} ." in missing.value.remedy
    with pytest.raises(NotFoundError) as missing:
        load_recipe("w9a9", "llmcompressor")
    assert "--tool" not in missing.value.remedy
    path = tmp_path / "mine.yaml"
    spec = "apiversion: modelslim_v1\nspec: {process: []}\n"
    for content in (spec, "practice: {apiversion: modelslim_v1, spec: {}}"):
        path.write_text(content)
        with pytest.raises(UsageError, match="looks like a practice of ModelSlim's") as foreign:
            load_recipe(str(path), "llmcompressor")
        assert "--tool modelslim" in foreign.value.remedy
    for content in (NATIVE, "tool: llmcompressor\nstages: {}", "model_free: {scheme: INT8}"):
        path.write_text(content)
        with pytest.raises(UsageError, match="looks like a recipe of LLM-Compressor's") as foreign:
            load_recipe(str(path), "modelslim")
        assert "--tool llmcompressor" in foreign.value.remedy


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("spec: {}", "no apiversion"),
        ("apiversion: modelslim_convert\nspec: {}", "the apiversion 'modelslim_convert'"),
        ("apiversion: modelslim_v1", "no spec"),
        ("apiversion: modelslim_v1\nspec: {process: [{type: quarot}]}", "quantizes nothing"),
        ("apiversion: modelslim_v1\nspec: {process: [{type: linear_quant}]}", "saves nothing"),
    ],
)
def test_what_is_not_a_practice(content: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        parse_practice(content, "x", "x.yaml")


def test_a_practice_file_falls_back_to_the_set_that_it_names() -> None:
    static = "{act: {scope: per_tensor, dtype: int8}, weight: {scope: per_channel, dtype: int8}}"
    step = f"{{type: linear_quant, qconfig: {static}}}"
    spec = f"{{process: [{step}], save: [{{type: ascendv1_saver}}], dataset: boolq.jsonl}}"
    recipe = parse_practice(f"apiversion: modelslim_v1\nspec: {spec}", "my practice", "x")
    assert recipe.name == "my-practice"
    assert recipe.calibration is not None and recipe.calibration.default == "boolq.jsonl"
