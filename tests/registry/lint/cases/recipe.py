"""What a recipe or configuration claims to be quantized, against what is."""

from __future__ import annotations

from tests.lint_cases import (
    Change,
    Model,
    compressed,
    floating,
    made,
    modelslim,
    thinking,
)
from tests.registry.lint.cases.case import Case
from tests.registry.lint.cases.changes import describe, put, requantize, store

_DOWN = "model.layers.0.mlp.down_proj"
_LAYER = requantize(_DOWN, "FLOAT")
_FLOAT = requantize(".", "FLOAT")
_CACHE = {"kv_cache_scheme": {"num_bits": 8, "type": "float", "strategy": "tensor"}}
_PRACTICE = """
apiversion: modelslim_v1
spec:
  process:
    - type: group
      configs:
        - {type: linear_quant, include: ["*self_attn*"], exclude: []}
        - {type: linear_quant, include: ["*mlp*"], exclude: [EXCLUDED]}
"""


def _practice(excluded: str) -> Change:
    return put("Qwen3-8B_best_practice.yaml", _PRACTICE.replace("EXCLUDED", f'"{excluded}"'))


def _ignoring(*patterns: str) -> Change:
    return lambda model: model.config["quantization_config"]["ignore"].extend(patterns)


def _cache_only(model: Model) -> None:
    """compressed-tensors for keys and values alone."""
    config = {"quant_method": "compressed-tensors", "format": "dense", "config_groups": {}}
    model.config["quantization_config"] = {**config, **_CACHE}
    for layer in range(2):
        for part in ("k_scale", "v_scale"):
            model.add(f"model.layers.{layer}.self_attn.{part}", ("BF16", (1,)))


def _targeting(*targets: str) -> Change:
    """Name the layers that compressed-tensors quantized."""

    def change(model: Model) -> None:
        groups = model.config["quantization_config"]["config_groups"]
        groups["group_0"]["targets"] = list(targets)

    return change


def _recipe(step: str) -> Change:
    return put("recipe.yaml", f"default_stage:\n  default_modifiers:\n    {step}\n")


_QUANTIZING = "QuantizationModifier: {targets: [Linear], ignore: [lm_head], scheme: W8A8}"
_GROUPED = (
    "GPTQModifier: {ignore: [lm_head], config_groups: {group_0: {targets: ['re:.*mlp.*'], "
    "weights: {num_bits: 4}}}}"
)
_SPARSE = "SparseGPTModifier: {sparsity: 0.5, mask_structure: '2:4', targets: [Linear]}"
CASES = {
    "nothing-quantized": [
        Case(
            "described, but every layer is float",
            made(modelslim, _FLOAT),
            made(
                modelslim,
                _FLOAT,
                describe(kv_cache_type="C8"),
                store("model.layers.0.self_attn.k_proj.kv_cache_scale", "F32", 32, kind="C8"),
            ),
            says="marked as modelslim",
        ),
        Case(
            "configured, but every layer is float",
            made(compressed, _FLOAT),
            made(floating, _cache_only),
            says="marked as compressed-tensors",
        ),
        Case(
            "LLM-Compressor's recipe alone says so",
            made(floating, _recipe(_QUANTIZING)),
            made(floating, _recipe(_SPARSE)),
            where="recipe.yaml",
            says="recipe.yaml claims model.layers.0.mlp.down_proj",
        ),
        Case(
            "a recipe with groups",
            made(floating, _recipe(_GROUPED)),
            made(floating, _recipe(_GROUPED.replace("mlp", "vision"))),
            where="recipe.yaml",
            says="recipe.yaml claims model.layers.0.mlp.down_proj",
        ),
        Case(
            "a recipe of which the configuration was lost, too",
            made(floating, _recipe(_QUANTIZING)),
            made(compressed, _recipe(_QUANTIZING)),
            where="recipe.yaml",
        ),
    ],
    "claimed-float": [
        Case(
            "Linear is the target, and a layer is float",
            made(compressed, _LAYER),
            made(compressed, _LAYER, _ignoring(_DOWN)),
            "warning",
            _DOWN,
        ),
        Case(
            "the pattern of ignored layers misses one",
            made(compressed, requantize(r"\.mlp\.down_proj", "FLOAT"), _ignoring(_DOWN)),
            made(
                compressed, requantize(r"\.mlp\.down_proj", "FLOAT"), _ignoring(r"re:.*down_proj$")
            ),
            "warning",
            "model.layers.1.mlp.down_proj",
        ),
        Case(
            "ModelSlim's practice includes it",
            made(modelslim, _LAYER, _practice("*up_proj")),
            made(modelslim, _LAYER, _practice("*down_proj")),
            "warning",
            _DOWN,
            "Qwen3-8B_best_practice.yaml claims",
        ),
    ],
    "quantized-ignored": [
        Case(
            "the ignore list names layers that are quantized",
            made(compressed, _ignoring("re:.*mlp.*")),
            made(compressed, requantize(r"\.mlp\.", "FLOAT"), _ignoring("re:.*mlp.*")),
            where="model.layers.0.mlp.down_proj",
            says="ignores model.layers.0.mlp.down_proj and 5 more layers",
        ),
        Case(
            "the targets leave out layers that are quantized",
            made(compressed, _targeting("re:.*self_attn.*")),
            made(compressed, _targeting("re:.*self_attn.*", "re:.*mlp.*_proj$")),
            where="model.layers.0.mlp.down_proj",
            says="does not target",
        ),
        Case(
            "experts are ignored",
            made(thinking, _ignoring("re:.*experts.*")),
            made(thinking, _ignoring("re:.*router.*")),
            where="model.layers.0.mlp.experts.0.down_proj",
            says="and 5 more layers",  # one expert stands for all of a layer
        ),
    ],
}
