"""Layers against each other and against config.json: modules and shapes."""

from __future__ import annotations

import re

from tests.lint_cases import Change, compressed, floating, made, modelslim, moe, mtp
from tests.registry.lint.cases.case import Case
from tests.registry.lint.cases.changes import configure, drop, store

_LAYER = "model.layers.1"


def _lose(name: str) -> Change:
    """Drop the tensors of the second layer whose names begin so."""
    return drop("^" + re.escape(f"{_LAYER}.{name}"))


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
