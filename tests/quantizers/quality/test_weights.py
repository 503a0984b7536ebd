"""SQNR and cosine of real outputs of both tools, against a plain recomputation in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantizers.quality.comparability import incomparable_layers
from quantizers.quality.histograms import Histograms
from quantizers.quality.weights import LayerError, Sums, compare_weights
from registry.checkpoint import open_checkpoint
from registry.checkpoint.facts import Facts, read_facts
from tests.conftest import USER
from tests.quantized import CASES, float_model, quantized
from tests.quantizers.quality.plain import dequantized, floats, read_all

pytestmark = pytest.mark.e2e

# dB, of all layers of a scheme together.
EXPECTED = {
    "modelslim-v1-w8a8": 42.2,
    "modelslim-v1-w8a8-float16": 41.8,
    "modelslim-v1-w8a8-dynamic": 42.4,
    "modelslim-v1-w8a8-mix": 42.4,
    "modelslim-v1-w8a16": 42.4,
    "modelslim-v1-w8a16-asym": 40.2,
    "modelslim-v1-w8a16-group": 40.3,
    "modelslim-v1-w4a8-dynamic": 17.8,
    "modelslim-v1-fp8-dynamic": 31.6,
    "modelslim-v1-mxfp8": 30.8,
    "modelslim-v1-w4a4-mxfp4": 19.0,
    "modelslim-v0-w8a8-dynamic": 42.4,
    "llmcompressor-int8": 42.4,
    "llmcompressor-w8a8-static": 42.4,
    "llmcompressor-w4a8": 19.1,
    "llmcompressor-w4a16": 19.1,
    "llmcompressor-w4a16-asym": 20.0,
    "llmcompressor-fp8": 31.5,
    "llmcompressor-fp8-dynamic": 31.6,
    "llmcompressor-fp8-block": 31.5,
    "llmcompressor-mxfp8": 31.5,
    "llmcompressor-mxfp4": 19.0,
    "llmcompressor-nvfp4a16": 20.4,
    "llmcompressor-moe-int8": 42.65,
    "llmcompressor-moe-w4a16": 19.1,
}


def facts_of(folder: Path) -> Facts:
    return read_facts(open_checkpoint(folder))


def measured(name: str, histograms: Histograms | None = None) -> tuple[LayerError, ...]:
    ours = facts_of(quantized(name, USER))
    base = facts_of(float_model(CASES[name].base, USER))
    apart = incomparable_layers(ours, base, {}, {})
    return compare_weights(ours, base, incomparable=apart, histograms=histograms)


def together(layers: tuple[LayerError, ...]) -> Sums:
    return sum((layer.sums for layer in layers if layer.sums), Sums())


@pytest.mark.parametrize("name", EXPECTED)
def test_figures_are_those_of_a_plain_recomputation(name: str) -> None:
    tensors = read_all(quantized(name, USER))
    base = read_all(float_model(CASES[name].base, USER))
    layers = measured(name)
    assert len(layers) >= 14 and all(layer.sums for layer in layers)
    for layer in layers[:: max(1, len(layers) // 16)]:
        exact = floats(*base[f"{layer.module}.weight"])
        values = dequantized(tensors, layer.module)
        noise = np.sum((values - exact) ** 2)
        sqnr = 10 * np.log10(np.sum(exact**2) / noise)
        cosine = np.sum(exact * values) / np.sqrt(np.sum(exact**2) * np.sum(values**2))
        assert layer.sums is not None and layer.sums.elements == exact.size
        assert layer.sums.sqnr == pytest.approx(sqnr, abs=1e-3), layer.module
        assert layer.sums.cosine == pytest.approx(cosine, abs=1e-6)
    assert together(layers).sqnr == pytest.approx(EXPECTED[name], abs=0.1)


def test_both_tools_lose_the_same() -> None:
    """W8A8 with scales per token of one model: within 1 dB, dense and experts."""
    for one, other in (
        ("modelslim-v1-w8a8-dynamic", "llmcompressor-int8"),
        ("modelslim-v1-ct-dynamic", "llmcompressor-int8"),
    ):
        a, b = together(measured(one)).sqnr, together(measured(other)).sqnr
        assert a is not None and b is not None and abs(a - b) < 1
    experts = [
        together(tuple(e for e in measured(name) if e.kind == "experts")).sqnr
        for name in ("modelslim-v1-moe-w8a8", "llmcompressor-moe-int8")
    ]
    assert experts[0] == pytest.approx(experts[1], abs=1)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("modelslim-v1-w8a8-smooth", "smoothed"),
        ("modelslim-v0-w8a8-smooth", "smoothed"),
        ("modelslim-v1-quarot", "rotated"),
        ("modelslim-v1-quarot-online", "rotated"),
        ("modelslim-v1-flatquant-mxfp4", "rotated"),
        ("llmcompressor-int8-spinquant", "rotated"),
        ("modelslim-v0-nf4", "NF4"),
    ],
)
def test_what_cannot_be_compared_has_a_reason_and_no_number(name: str, reason: str) -> None:
    layers = measured(name)
    assert layers and all(layer.sums is None and reason in layer.reason for layer in layers)


def test_another_model_is_recognized_without_norms_or_recipes() -> None:
    """Rotated weights look like another model's: the error is far beyond rounding."""
    ours = facts_of(quantized("modelslim-v1-quarot", USER))
    base = facts_of(float_model("dense", USER))
    layers = compare_weights(ours, base, incomparable={})
    assert all(layer.sums is None and "no rounding" in layer.reason for layer in layers)


def test_a_recipe_that_smooths_is_believed() -> None:
    ours = facts_of(quantized("modelslim-v1-w8a8-dynamic", USER))
    base = facts_of(float_model("dense", USER))
    provenance = {"recipe": {"text": "process:\n- type: iter_smooth\n"}}
    apart = incomparable_layers(ours, base, provenance, {})
    assert len(apart) == 14 and all("iter_smooth" in reason for reason in apart.values())
    recipes = {"recipe.yaml": "quant_modifiers:\n  AWQModifier:\n"}
    assert len(incomparable_layers(ours, base, {}, recipes)) == 14
    assert incomparable_layers(ours, base, {"recipe": {"text": "linear_quant"}}, {}) == {}


def test_histograms_count_the_scales_of_each_layer_once() -> None:
    histograms = Histograms()
    layers = measured("llmcompressor-int8", histograms)
    rows = {"attention": 2 * (256 + 128 + 128 + 256), "mlp": 2 * (512 + 512 + 256)}
    assert {k: int(h.counts.sum()) for k, h in histograms.scales.items()} == rows
    assert histograms.base.keys() == {layer.kind for layer in layers}
    ours, base = histograms.dequantized["mlp"], histograms.base["mlp"]
    assert ours.counts.sum() == base.counts.sum() > 0
    assert np.abs(ours.counts - base.counts).sum() < 0.1 * base.counts.sum()
