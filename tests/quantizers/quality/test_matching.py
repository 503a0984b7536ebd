"""Layers find their base, whatever way it is stored; what does not fit is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from quantizers.quality.weights import compare_weights
from registry.checkpoint import open_checkpoint
from registry.checkpoint.facts import Facts, read_facts
from registry.checkpoint.writing import Planned, write_shard

HIDDEN, INNER, EXPERTS = 16, 24, 3
P = "model.layers.0.mlp.experts"


def _write(folder: Path, tensors: dict[str, np.ndarray], config: dict[str, object]) -> Facts:
    folder.mkdir()
    names = {"float32": "F32", "int8": "I8"}
    planned = [Planned(n, names[str(a.dtype)], a.shape) for n, a in tensors.items()]
    write_shard(folder / "model.safetensors", planned, (a.tobytes() for a in tensors.values()))
    common = {"model_type": "qwen3_moe", "num_hidden_layers": 1, "hidden_size": HIDDEN}
    (folder / "config.json").write_text(json.dumps({**common, **config}))
    return read_facts(open_checkpoint(folder))


def _quantized(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    found = {}
    for module, weight in weights.items():
        scale = np.abs(weight).max(axis=1, keepdims=True) / 127
        found[f"{module}.weight"] = np.round(weight / scale).astype(np.int8)
        found[f"{module}.weight_scale"] = scale
    return found


CT = {
    "quantization_config": {
        "quant_method": "compressed-tensors",
        "config_groups": {
            "group_0": {
                "weights": {"num_bits": 8, "strategy": "channel"},
                "input_activations": {"num_bits": 8, "dynamic": True, "strategy": "token"},
                "targets": ["Linear"],
            }
        },
    }
}


@pytest.fixture
def experts() -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    shapes = {
        "gate_proj": (INNER, HIDDEN),
        "up_proj": (INNER, HIDDEN),
        "down_proj": (HIDDEN, INNER),
    }
    return {
        f"{P}.{expert}.{part}": random.standard_normal(shape).astype(np.float32)
        for expert in range(EXPERTS)
        for part, shape in shapes.items()
    }


def test_separate_experts_find_their_part_of_fused_ones(
    tmp_path: Path, experts: dict[str, np.ndarray]
) -> None:
    fused = {
        f"{P}.gate_up_proj": np.stack(
            [
                np.concatenate([experts[f"{P}.{e}.gate_proj"], experts[f"{P}.{e}.up_proj"]])
                for e in range(EXPERTS)
            ]
        ),
        f"{P}.down_proj": np.stack([experts[f"{P}.{e}.down_proj"] for e in range(EXPERTS)]),
    }
    ours = _write(tmp_path / "q", _quantized(experts), CT)
    apart = {f"{name}.weight": weight for name, weight in experts.items()}
    separate = compare_weights(ours, _write(tmp_path / "s", apart, {}), incomparable={})
    together = compare_weights(ours, _write(tmp_path / "f", fused, {}), incomparable={})
    assert len(separate) == 3 * EXPERTS and separate == together
    assert all(e.sums and 40 < (e.sums.sqnr or 0) < 60 for e in separate)


def test_what_the_base_does_not_have_is_said(
    tmp_path: Path, experts: dict[str, np.ndarray]
) -> None:
    ours = _write(tmp_path / "q", _quantized(experts), CT)
    other = {
        f"{P}.0.gate_proj.weight": np.ones((INNER, HIDDEN + 1), np.float32),
        f"{P}.down_proj": np.ones((EXPERTS, INNER, HIDDEN), np.float32),  # transposed
    }
    found = compare_weights(ours, _write(tmp_path / "b", other, {}), incomparable={})
    reasons = {e.module.removeprefix(f"{P}."): e.reason for e in found}
    assert reasons["0.gate_proj"] == "it is [24, 16], and the base's [24, 17]"
    assert reasons["1.up_proj"] == "the base has no such layer"
    assert reasons["2.down_proj"] == "the base holds its experts as [3, 24, 16]"
    assert all(e.sums is None for e in found)


def test_a_base_that_is_quantized_itself_is_dequantized(
    tmp_path: Path, experts: dict[str, np.ndarray]
) -> None:
    ours = _write(tmp_path / "q", _quantized(experts), CT)
    shutil.copytree(tmp_path / "q", tmp_path / "same")
    found = compare_weights(ours, read_facts(open_checkpoint(tmp_path / "same")), incomparable={})
    assert all(e.sums and e.sums.noise == 0 and e.sums.sqnr is None for e in found)
    assert all(e.sums and e.sums.cosine == pytest.approx(1) for e in found)
