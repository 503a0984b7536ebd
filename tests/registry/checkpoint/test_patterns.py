"""Which modules a target or ignore list names, also if its author means harm."""

from __future__ import annotations

import time

from registry.checkpoint.quantization.patterns import Patterns


def test_names_and_expressions() -> None:
    patterns = Patterns(["lm_head", "layers.0.mlp.gate", r"re:.*\.self_attn\..*", "Linear"])
    assert patterns.match("lm_head") and patterns.match("model.lm_head")
    assert patterns.match("model.layers.0.mlp.gate")
    assert not patterns.match("model.layers.0.mlp.gate_proj")
    assert patterns.match("model.layers.3.self_attn.q_proj")
    assert not patterns.match("model.layers.3.mlp.up_proj")
    assert "Linear" in patterns and "Conv2d" not in patterns


def test_expressions_match_from_the_start() -> None:
    assert not Patterns(["re:mlp"]).match("model.mlp")
    assert Patterns(["re:model"]).match("model.mlp")


def test_what_is_no_expression_names_nothing() -> None:
    patterns = Patterns(["re:(", "re:[", "re:a{9999999999}", "re:x"])
    assert not patterns.match("(") and patterns.match("x")


def test_a_pattern_without_end_is_given_up() -> None:
    patterns = Patterns([r"re:(a|a|b?a?)+\1$", r"re:(x+x+)+y"])
    began = time.monotonic()
    for number in range(1000):
        patterns.match("x" * 40 + f"{number}.{'a' * 40}!")
    assert time.monotonic() - began < 20
