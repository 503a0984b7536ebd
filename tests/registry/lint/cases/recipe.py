"""What a recipe or configuration claims to be quantized, and is float."""

from __future__ import annotations

from tests.lint_cases import Change, compressed, made, modelslim
from tests.registry.lint.cases.case import Case
from tests.registry.lint.cases.changes import put, requantize

_DOWN = "model.layers.0.mlp.down_proj"
_LAYER = requantize(_DOWN, "FLOAT")
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


CASES = {
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
    ]
}
