"""Perplexity and divergence: one simulation for both formats, against other ways to the same."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from quantizers.llmcompressor import worker_env
from quantizers.quality.activations import left_out
from quantizers.quality.perplexity import Perplexity, measure_perplexity
from quantizers.quality.simulation import RULES, simulate
from quantizers.quality.text import held_out_text
from registry.checkpoint import open_checkpoint
from registry.checkpoint.facts import Facts, read_facts
from registry.errors import IncompatibleError
from tests.conftest import USER
from tests.quantized import CASES, float_model, quantized
from tests.quantizers.quality.plain import dequantized, floats, read_all
from toolchains import find_toolchain

pytestmark = pytest.mark.e2e


def facts_of(name: str) -> Facts:
    return read_facts(open_checkpoint(quantized(name, USER)))


def rules_of(name: str, target: Path) -> dict[str, dict[str, object]]:
    simulate(facts_of(name), target)
    inputs: dict[str, dict[str, object]] = json.loads((target / RULES).read_text())["inputs"]
    return inputs


def measured(names: list[str], base: str, folder: Path) -> Perplexity:
    text = folder / "text.txt"
    text.write_text(held_out_text()[:6000])
    models = {"float": float_model(base, USER)}
    models.update({name: quantized(name, USER) for name in names})
    toolchain = find_toolchain("llmcompressor", USER)
    return measure_perplexity(models, text, toolchain, work=folder, log=folder / "log")


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Perplexity:
    names = [
        "llmcompressor-kv",
        "modelslim-v1-w8a8-dynamic",
        "llmcompressor-int8",
        "modelslim-v1-w8a8",
        "modelslim-v1-w8a8-mix",
        "modelslim-v0-w8a8-smooth",
        "modelslim-v1-quarot",
        "modelslim-v1-w8a16",
        "modelslim-v1-w4a8-dynamic",
        "modelslim-v1-w4a4-mxfp4",
        "llmcompressor-fp8-dynamic",
        "llmcompressor-w4a16",
    ]
    return measured(names, "dense", tmp_path_factory.mktemp("dense"))


def test_a_model_that_is_not_quantized_does_not_diverge(dense: Perplexity) -> None:
    assert dense.divergences["llmcompressor-kv"] == 0
    assert dense.agreements["llmcompressor-kv"] == 1
    assert dense.values["llmcompressor-kv"] == dense.values["float"]
    assert dense.compared == dense.tokens > 1000
    assert dense.not_simulated == ("kv cache in FP8",)


def test_coarser_formats_diverge_more(dense: Perplexity) -> None:
    found = dense.divergences
    assert 0 < found["modelslim-v1-w8a16"] < found["modelslim-v1-w8a8-dynamic"] < 1e-4
    assert found["modelslim-v1-w8a8-dynamic"] < found["modelslim-v1-w8a8"] < 1e-3
    assert found["llmcompressor-fp8-dynamic"] < found["llmcompressor-w4a16"] < 0.05
    assert found["llmcompressor-w4a16"] < found["modelslim-v1-w4a4-mxfp4"] < 0.05
    assert all(0.3 < share <= 1 for share in dense.agreements.values())


def test_both_tools_predict_alike(dense: Perplexity) -> None:
    one, other = (
        dense.divergences[name] for name in ("modelslim-v1-w8a8-dynamic", "llmcompressor-int8")
    )
    assert one == pytest.approx(other, rel=0.3)


def test_smoothed_and_rotated_models_compute_the_same_as_before(dense: Perplexity) -> None:
    """Their weights cannot be compared; what they predict can."""
    assert dense.divergences["modelslim-v1-quarot"] < 1e-4
    assert dense.divergences["modelslim-v0-w8a8-smooth"] < 2e-3


def test_experts_are_simulated_one_by_one(tmp_path: Path) -> None:
    names = ["modelslim-v1-moe-w8a8", "llmcompressor-moe-int8", "llmcompressor-moe-w4a16"]
    found = measured(names, "moe", tmp_path)
    rules = rules_of("modelslim-v1-moe-w8a8", tmp_path / "rules")
    assert rules["model.layers.1.mlp.experts.7.down_proj"] == {"kind": "int", "bits": 8}
    assert 0 < found.divergences["llmcompressor-moe-int8"] < 1e-4
    assert found.divergences["llmcompressor-moe-w4a16"] > 1e-3


def test_weights_are_simulated_without_loss(tmp_path: Path) -> None:
    for name in ("modelslim-v1-w4a8-dynamic", "llmcompressor-w4a16-asym"):
        simulate(facts_of(name), tmp_path / name)
        tensors, simulated = read_all(quantized(name, USER)), read_all(tmp_path / name)
        assert simulated.keys() == read_all(float_model(CASES[name].base, USER)).keys()
        for module in ("model.layers.0.self_attn.o_proj", "model.layers.1.mlp.down_proj"):
            dtype, values = simulated[f"{module}.weight"]
            exact = dequantized(tensors, module)
            assert dtype == "F32" and np.allclose(values, exact, rtol=1e-6, atol=0)
        norm = "model.layers.0.input_layernorm.weight"
        assert (floats(*simulated[norm]) == floats(*tensors[norm])).all()


def test_rules_are_those_of_the_artifact(tmp_path: Path) -> None:
    module = "model.layers.0.self_attn.q_proj"
    static = rules_of("modelslim-v1-w8a8", tmp_path / "static")[module]
    tensors = read_all(quantized("modelslim-v1-w8a8", USER))
    assert static == {
        "kind": "int",
        "bits": 8,
        "scale": float(tensors[f"{module}.input_scale"][1][0]),
        "offset": float(tensors[f"{module}.input_offset"][1][0]),
    }
    expected = {
        "modelslim-v1-w8a16": None,
        "modelslim-v1-w4a4-dynamic-group": {"kind": "int", "bits": 4},
        "modelslim-v1-w4a8-mxfp": {"kind": "mx", "bits": 8},
        "llmcompressor-mxfp4": {"kind": "mx", "bits": 4},
        "llmcompressor-fp8-block": {"kind": "fp8", "group": 128},
        "llmcompressor-w4a16": None,
    }
    for name, rule in expected.items():
        assert rules_of(name, tmp_path / name).get(module) == rule, name


def test_what_is_left_out_is_said() -> None:
    assert left_out(facts_of("modelslim-v1-w8a8-c8")) == ("kv cache in C8",)
    assert left_out(facts_of("modelslim-v1-w8a8-fa3")) == ("flash attention in INT8",)
    assert left_out(facts_of("modelslim-v1-w8a8")) == ()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("modelslim-v1-quarot-online", "applied while the model runs"),
        ("modelslim-v1-flatquant-mxfp4", "not simulated"),
        ("modelslim-v0-nf4", "NF4"),
    ],
)
def test_what_cannot_be_simulated_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(IncompatibleError) as refused:
        simulate(facts_of(name), tmp_path / "x")
    assert reason in refused.value.message + refused.value.details


def test_activations_are_quantized_as_a_plain_recomputation_says(tmp_path: Path) -> None:
    """The worker's rules on some numbers, in its own environment, against numpy."""
    x = np.array([[0.3, -1.0, 2.54, 0.004] * 32, [100.0, 3.0, -0.5, 0.0] * 32], np.float32)
    rules = [
        {"kind": "int", "bits": 8},
        {"kind": "int", "bits": 4},
        {"kind": "int", "bits": 8, "scale": 0.05, "offset": -7.0},
        {"kind": "mx", "bits": 4},
    ]
    worker = Path(__file__).parents[3] / "quantizers" / "workers" / "perplexity.py"
    program = (
        f"import json, sys; sys.path.insert(0, {str(worker.parent)!r}); import perplexity, torch\n"
        f"x = torch.tensor({x.tolist()!r})\n"
        f"found = [perplexity.fake_quantize(x, rule).tolist() for rule in {rules!r}]\n"
        "print(json.dumps(found))"
    )
    python = find_toolchain("llmcompressor", USER).python
    done = subprocess.run(
        [python, "-c", program], capture_output=True, text=True, env=dict(worker_env()), check=False
    )
    assert done.returncode == 0, done.stderr
    token8, token4, static, mx = (np.array(f) for f in json.loads(done.stdout.splitlines()[-1]))
    wide = x.astype(np.float64)
    top = np.abs(wide).max(axis=1, keepdims=True)
    assert np.allclose(token8, np.round(wide / (top / 127)) * top / 127, atol=1e-6)
    assert np.allclose(token4, np.round(wide / (top / 7)) * top / 7, atol=1e-5)
    codes = np.clip(np.round(wide / 0.05) - 7, -128, 127)
    assert np.allclose(static, (codes + 7) * 0.05, atol=1e-5)
    # 2.54 in a group: scale 2^(1-2); 0.3/0.5 → 0.5, -1/0.5 → -2, 2.54/0.5 → 6 or 4: 5.08 → 6
    assert mx[0, :4].tolist() == [0.25, -1.0, 3.0, 0.0]
    # 100: scale 2^(6-2); 6.25 → 6, 3/16 → 0, as has its tie above
    assert mx[1, :4].tolist() == [96.0, 0.0, 0.0, 0.0]
