"""How much is measured after a run: in the time that there is, and said."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import quantizers
from qreg.cli import quantize as cli
from quantizers import QuantizationRequest, quantize
from quantizers.quality import budget as budgets
from quantizers.quality.budget import Budget, OutOfTime, budget_of, mode_of, seconds
from quantizers.quality.perplexity import measure_perplexity
from quantizers.quality.text import held_out_text
from quantizers.quality.weights import LEFT_OUT, _spread, compare_weights
from registry.checkpoint import open_checkpoint
from registry.checkpoint.facts import read_facts
from registry.claims import extent
from registry.config import Settings
from registry.describe import describe_folder
from registry.errors import UsageError
from registry.progress import Event, Note
from registry.tracking.card import write_card
from registry.tracking.client import connect
from tests.checkpoints import write_quantized
from tests.conftest import USER
from tests.quantized import float_model, quantized
from toolchains import find_toolchain


def test_how_long_it_may_take() -> None:
    assert 59 < (budget_of("short", 7).left or 0) <= 60
    assert 899 < (budget_of("short", 900).left or 0) <= 900
    assert budget_of("full", 7).left is None and not budget_of("full", 7).is_over
    assert 0 < (seconds(60).for_predictions().left or 0) < 50  # weights are to have some of it
    with pytest.raises(OutOfTime):
        seconds(-1).require()
    assert [mode_of(value) for value in (True, False, "short")] == ["full", "none", "short"]
    with pytest.raises(UsageError, match="must be short, full, none, got 'long'"):
        mode_of("long")


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        ([], "short"),
        (["--evaluate", "short"], "short"),
        (["--evaluate", "full"], "full"),
        (["--evaluate=none"], "none"),
        # As they were before there were modes.
        (["--evaluate"], "full"),
        (["--no-evaluate"], "none"),
        (["--evaluate", "--no-evaluate"], "none"),
        (["--no-evaluate", "--evaluate"], "full"),
    ],
)
def test_the_option_with_and_without_a_value(
    words: list[str], mode: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it stands: a source that follows is no value of it."""
    asked: list[QuantizationRequest] = []

    def stop(request: QuantizationRequest, *_: Any) -> None:
        asked.append(request)
        raise click.exceptions.Exit(0)

    monkeypatch.setattr(quantizers, "quantize", stop)
    for arguments in ([*words, "SOURCE", "--name", "o/n"], ["SOURCE", "--name", "o/n", *words]):
        ran = CliRunner().invoke(cli.command, arguments)
        assert ran.exit_code == 0, ran.output
    assert [(r.source, r.evaluate) for r in asked] == [("SOURCE", mode)] * 2
    # What a script gets is the script's.
    CliRunner().invoke(cli.command, ["SOURCE", "--name", "o/n", "--", "--no-evaluate"])
    assert asked[-1].evaluate == "short" and asked[-1].options.arguments == ("--no-evaluate",)


def test_a_card_says_of_how_much_its_figures_are(tmp_path: Path) -> None:
    """Whatever somebody claims: figures of a part are not to be taken for those of all."""
    short = {"mode": "short", "tokens": 1200, "of_tokens": 16320}
    assert extent({"evaluation": short}) == "1,200 of 16,320 tokens"
    layers = {**short, "layers_compared": 200, "layers_left_out": 52}
    assert extent({"evaluation": layers}) == "1,200 of 16,320 tokens, 200 of 252 layers"
    for whole in ({}, {"tokens": 9, "of_tokens": 9, "layers_compared": 3, "layers_left_out": 0}):
        assert extent({"evaluation": whole}) == extent({}) == ""
    for odd in (float("nan"), float("inf"), -1, "x", None, 10**400, True):
        assert extent({"evaluation": {"tokens": 1, "of_tokens": odd}}) == ""
    provenance = {"quality": {"perplexity_ratio": 1.01}, "evaluation": short}
    manifest = describe_folder(write_quantized(tmp_path / "m"), name="o/m", provenance=provenance)
    assert "| measured on | 1,200 of 16,320 tokens (claimed) |" in write_card(manifest, "file:///x")
    plain = replace(manifest, provenance={"quality": provenance["quality"]})
    assert "measured on" not in write_card(plain, "file:///x")


def test_the_words_of_the_command_are_those_of_the_measurement() -> None:
    assert cli.MODES == budgets.MODES


def test_any_beginning_of_the_layers_lies_all_over_the_model() -> None:
    for count in (0, 1, 2, 7, 64, 100):
        assert sorted(_spread(count)) == list(range(count))
    assert _spread(8) == [0, 4, 2, 6, 1, 5, 3, 7]


@pytest.mark.e2e
def test_weights_that_there_was_no_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made = read_facts(open_checkpoint(quantized("modelslim-v1-w8a8-dynamic", USER)))
    base = read_facts(open_checkpoint(float_model("dense", USER)))
    whole = compare_weights(made, base, incomparable={})
    none = compare_weights(made, base, incomparable={}, budget=seconds(-1))
    assert [layer.module for layer in none] == [layer.module for layer in whole]
    assert {layer.reason for layer in none} == {LEFT_OUT} and not any(la.sums for la in none)
    # With time for all of them the order in which they are compared changes nothing.
    assert compare_weights(made, base, incomparable={}, budget=seconds(600)) == whole

    looks: list[int] = []
    monkeypatch.setattr(Budget, "is_over", property(lambda self: looks.append(1) or len(looks) > 5))
    some = compare_weights(made, base, incomparable={}, budget=seconds(600))
    assert [layer for layer in some if layer.sums] == [
        layer for layer, other in zip(whole, some, strict=True) if other.sums
    ]
    assert sum(layer.sums is not None for layer in some) == 5
    assert {layer.number for layer in some if layer.sums} == {0, 1}


@pytest.mark.e2e
def test_predictions_in_the_time_that_there_is(tmp_path: Path) -> None:
    """Both models on the same windows, however many each had time for."""
    text = tmp_path / "text.txt"
    text.write_text(held_out_text()[:20_000])
    models = {"float": float_model("dense", USER)}
    models["quantized"] = quantized("llmcompressor-int8", USER)
    toolchain = find_toolchain("llmcompressor", USER)

    def measured(budget: Budget | None) -> Any:
        log = tmp_path / "log"
        return measure_perplexity(models, text, toolchain, work=tmp_path, log=log, budget=budget)

    full = measured(None)
    assert full.tokens == full.of_tokens == full.to_json()["of_tokens"]
    began = time.monotonic()
    with pytest.raises(OutOfTime):
        measured(seconds(2))  # importing torch takes longer
    assert time.monotonic() - began < 30
    assert not list(tmp_path.glob("simulated-*"))
    short = measured(seconds(600))
    assert short.figures() == full.figures() and short.answers == ()


@pytest.mark.e2e
def test_a_run_says_what_is_measured_and_how_much_of_it(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = replace(settings, toolchains=USER.toolchains)
    monkeypatch.setattr(budgets, "LEAST", 600.0)  # a busy machine has time, too
    text = tmp_path / "text.txt"
    text.write_text("The registry keeps every artifact under the digest of its files. " * 60)
    request = QuantizationRequest(
        str(float_model("dense", USER)),
        name="test/short",
        output=tmp_path / "q",
        evaluation_text=text,
    )
    events: list[Event] = []
    made = quantize(request, here, events.append)
    notes = [event.text for event in events if isinstance(event, Note)]
    assert any("perplexity" in note and "for at most 600 s" in note for note in notes)
    extent = made.manifest.provenance["evaluation"]
    assert extent["mode"] == "short" and extent["layers_left_out"] == 0
    assert extent["layers_compared"] == 14
    assert 0 < extent["tokens"] <= extent["of_tokens"]
    (evidence,) = made.manifest.evidence
    assert evidence["extent"] == extent
    run = connect(settings).get_run(str(made.run_id))
    assert run.data.tags["qreg.evaluation"] == "short"
    assert run.data.metrics["perplexity/tokens"] == extent["tokens"]
    document = json.loads((made.folder / "qreg.json").read_text())
    assert document["provenance"]["evaluation"] == extent
