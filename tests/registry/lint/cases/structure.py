"""Layers against each other and against config.json: modules and shapes."""

from __future__ import annotations

import re

from tests.lint_cases import (
    MTP,
    Change,
    Model,
    compressed,
    floating,
    made,
    model_of,
    modelslim,
    moe,
    mtp,
    vision,
)
from tests.registry.lint.cases.case import Case
from tests.registry.lint.cases.changes import configure, drop, requantize, store
from tests.registry.lint.cases.deepseek_v4 import deepseek_v4

_LAYER = "model.layers.1"


def _lose(name: str) -> Change:
    """Drop the tensors of the second layer whose names begin so."""
    return drop("^" + re.escape(f"{_LAYER}.{name}"))


def _deep() -> Model:
    """DeepSeek's kind: a dense layer and four with experts."""
    return model_of({**MTP, "num_hidden_layers": 5}, "W8A8_DYNAMIC")


def _bias(layer: int) -> Change:
    """Add a bias to the queries of one layer."""
    return store(f"model.layers.{layer}.self_attn.q_proj.bias", "BF16", 64)


CASES = {
    "modules-missing": [
        Case(
            "o_proj of one layer is gone",
            made(compressed, _lose("self_attn.o_proj.")),
            made(compressed),
            where=f"{_LAYER}.self_attn.o_proj",
        ),
        Case(
            "an MLP without its up_proj",
            made(floating, _lose("mlp.up_proj.")),
            made(floating),
            where=f"{_LAYER}.mlp.up_proj",
        ),
        Case(
            "a weight is gone and its scale is there",
            made(compressed, drop("^" + re.escape(f"{_LAYER}.mlp.down_proj.weight") + "$")),
            made(compressed),
            where=f"{_LAYER}.mlp.down_proj",
        ),
        Case(
            "a norm of a layer is gone",
            made(floating, _lose("input_layernorm.")),
            # Latent attention has no q_proj, and is whole without it.
            made(mtp),
            where=f"{_LAYER}.input_layernorm.weight",
        ),
        Case(
            "the last norm is gone",
            made(floating, drop(r"^model\.norm\.")),
            made(floating),
            where="model.norm",
        ),
        Case(
            "experts without their router",
            made(moe, _lose("mlp.gate.")),
            made(moe),
            where=f"{_LAYER}.mlp.gate",
        ),
        Case(
            "shared experts of one layer are gone",
            made(_deep, drop(r"layers\.2\.mlp\.shared_experts")),
            made(_deep),  # its first layer is dense
            where="model.layers.2.mlp.shared_experts.down_proj",
            says="and 2 more such modules",
        ),
        Case(
            "a router's correction is gone",
            made(_deep, drop(r"layers\.2\.mlp\.gate\.e_score")),
            # Not in one layer alone: there may be a reason.
            made(_deep, drop(r"layers\.[23]\.mlp\.gate\.e_score")),
            where="model.layers.2.mlp.gate.e_score_correction_bias",
        ),
        Case(
            "a norm inside of attention is gone",
            made(_deep, drop(r"layers\.0\.self_attn\.q_a_layernorm")),
            # Layers that compress more have no compressor's scale of those that compress less.
            made(deepseek_v4, drop(r"^layers\.1\.attn\.compressor\.")),
            where="model.layers.0.self_attn.q_a_layernorm.weight",
        ),
        Case(
            "a bias is gone",
            made(floating, _bias(0)),
            # Static quantization has it in quant_bias.
            made(modelslim, _bias(0), requantize(r"layers\.0\.self_attn", "W8A8_DYNAMIC")),
            where=f"{_LAYER}.self_attn.q_proj.bias",
        ),
        Case(
            "all of a layer's attention is gone",
            made(floating, _lose("self_attn.")),
            made(vision),  # one layer of linear attention, one of full attention
            where=None,
            says="model.layers.1.self_attn",
        ),
    ],
    "shape-contradicts": [
        Case(
            "another hidden size",
            made(floating, configure(hidden_size=128)),
            made(floating),
            where=None,
            says="hidden_size 128",
        ),
        Case(
            "a negative number of layers",
            made(floating, configure(num_hidden_layers=-2)),
            # What the family's code knows may be left out.
            made(floating, configure(head_dim=None)),
            where="num_hidden_layers",
        ),
        Case(
            "a vocabulary in words",
            made(floating, configure(vocab_size="96")),
            made(floating),
            where="vocab_size",
        ),
        Case(
            "a scale with too few rows",
            made(
                modelslim,
                _lose("mlp.up_proj.weight_scale"),
                store(f"{_LAYER}.mlp.up_proj.weight_scale", "F32", 3, 1, kind="W8A8_DYNAMIC"),
            ),
            made(modelslim),
            where=f"{_LAYER}.mlp.up_proj.weight_scale",
        ),
    ],
}
