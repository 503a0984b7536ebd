"""Which modules a target or ignore list names, also if its author means harm."""

from __future__ import annotations

import time

from registry.checkpoint.quantization.patterns import Budget, Patterns


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


def test_small_repetitions_are_usual_and_large_ones_name_nothing() -> None:
    assert Patterns([r"re:.*layers\.\d{1,2}\.mlp"]).match("model.layers.31.mlp")
    for expression in ("(x{99}){99}", "x{1,9999}", "(?x)x{ 9999 }", "(?ix:x){1}"):
        assert not Patterns([f"re:{expression}"]).match("x" * 20_000), expression


def test_lists_can_share_their_time() -> None:
    budget = Budget(0.0)
    assert not Patterns(["re:x"], budget).match("x")
    assert Patterns(["x"], budget).match("x")  # names cost nothing
