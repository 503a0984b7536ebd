"""Size: what each rank has to hold."""

from __future__ import annotations

from registry.lint import CHIPS, Target
from tests.lint_cases import floating, made, moe
from tests.registry.lint.cases.case import A2, A3, Case
from tests.registry.lint.cases.changes import store

# Holes of a terabyte; the rest is small.
_LARGE = store("model.layers.0.mlp.up_proj.weight", "BF16", 2**20, 400 * 2**10)  # 800 GiB
_EXPERT = store("model.layers.0.mlp.experts.0.up_proj.weight", "BF16", 2**20, 400 * 2**10)


def _wanted(chip: str, tensor_parallel: int, data_parallel: int = 1) -> Target:
    return Target(CHIPS[chip], tensor_parallel, data_parallel)


CASES = {
    "rank-memory": [
        Case(
            "eight ranks are too few",
            made(floating, _LARGE),
            made(floating, _LARGE),
            "error",
            "TP 8",
            "100.0 GiB of weights a rank",
            target=_wanted("A2", 8),
            sound_target=_wanted("A3", 16),
            passes_with="info",
        ),
        Case(
            "one node is too small, more of them may be there",
            made(floating, _LARGE),
            made(floating, _LARGE),
            "warning",
            "TP 8",
            target=A2,
            sound_target=A3,
            passes_with="info",
        ),
        Case(
            "data parallelism spreads experts, and nothing else",
            made(floating, _LARGE),
            made(moe, _EXPERT),
            "error",
            "TP 8 × DP 2",
            target=_wanted("A3", 8, 2),
            passes_with="info",
        ),
    ]
}
