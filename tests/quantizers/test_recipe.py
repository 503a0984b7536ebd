"""Recipes: shipped ones, a user's own, and what is not one."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantizers.recipe import load_recipe, parse_recipe, shipped
from registry.errors import NotFoundError, UsageError

NATIVE = """
quant_stage:
  quant_modifiers:
    QuantizationModifier: {targets: [Linear], scheme: FP8_DYNAMIC, ignore: [lm_head]}
"""


@pytest.mark.parametrize("name", shipped())
def test_shipped_recipes_say_what_they_do(name: str) -> None:
    recipe = load_recipe(name, "llmcompressor")
    assert recipe.name == name
    assert recipe.title
    assert all("lm_head" in rule["ignore"] for rule in recipe.quantized())


def test_which_recipes_calibrate() -> None:
    assert load_recipe("w8a8-dynamic", "llmcompressor").calibration is None
    smooth = load_recipe("w8a8-smooth", "llmcompressor")
    assert smooth.calibration is not None
    assert [name for name, _ in smooth.modifiers()] == ["SmoothQuantModifier", "GPTQModifier"]


def test_a_users_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(NATIVE)
    recipe = load_recipe(str(path), "llmcompressor")
    assert recipe.name == "mine"
    assert next(recipe.quantized())["scheme"] == "FP8_DYNAMIC"
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
        parse_recipe(content, "x", "x.yaml")


def test_unknown_and_foreign_recipes(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        load_recipe("w9a9", "llmcompressor")
    assert "w8a8-dynamic" in caught.value.remedy
    path = tmp_path / "other.yaml"
    path.write_text("tool: modelslim\nstages: {s: {q_modifiers: {X: {scheme: W8A8}}}}")
    with pytest.raises(UsageError, match="is for modelslim"):
        load_recipe(str(path), "llmcompressor")
