"""Weights packed as AWQ's and GPTQ's own savers pack them, against the values that went in.

The packing follows AutoAWQ 0.2.9 (`WQLinear_GEMM.from_linear`) and AutoGPTQ 0.7.1
(`QuantLinear.pack`), value by value.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantizers.quality.simulation import simulate
from quantizers.quality.weights import LayerError, compare_weights
from registry.checkpoint import open_checkpoint
from registry.checkpoint.facts import Facts, read_facts
from registry.errors import IncompatibleError
from tests.checkpoints import CONFIG
from tests.quantizers.quality.plain import read_all

LINEAR = {
    "model.layers.0.self_attn.q_proj": (64, 96),
    "model.layers.0.mlp.down_proj": (32, 128),
}  # outputs, inputs
_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
_TYPES = {np.dtype(np.int32): "I32", np.dtype(np.float16): "F16", np.dtype(np.float32): "F32"}


@dataclass(frozen=True)
class Case:
    """How a checkpoint is packed."""

    method: str
    bits: int = 4
    group: int = 32
    symmetric: bool = False
    ordered: bool = False  # by activations: groups are no runs of inputs
    zero_less: int = 1  # GPTQ's first layout stores offsets less 1
    config: tuple[tuple[str, Any], ...] = ()


CASES = {
    "awq": Case("awq", config=(("version", "GEMM"), ("zero_point", True))),
    "awq-without-offsets": Case("awq", symmetric=True, config=(("zero_point", False),)),
    "gptq": Case("gptq", config=(("sym", False),)),
    "gptq-symmetric": Case("gptq", symmetric=True, config=(("sym", True),)),
    "gptq-8-bits": Case("gptq", bits=8),
    "gptq-2-bits": Case("gptq", bits=2),
    "gptq-by-activations": Case("gptq", ordered=True, config=(("desc_act", True),)),
    "gptq-one-group": Case("gptq", group=-1),
    "gptq-v2": Case("gptq", zero_less=0, config=(("checkpoint_format", "gptq_v2"),)),
}


@pytest.fixture(params=CASES)
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Facts, Facts, Any]:
    """Facts of a packed checkpoint and of its base, and the values that were packed."""
    return _written(tmp_path, CASES[request.param])


def test_figures_are_those_of_what_was_packed(checkpoint: tuple[Facts, Facts, Any]) -> None:
    ours, base, values = checkpoint
    layers = compare_weights(ours, base, incomparable={})
    assert {layer.module for layer in layers} == LINEAR.keys()
    floats = read_all(_folder(base))
    for layer in layers:
        exact = floats[f"{layer.module}.weight"][1].astype(np.float64)
        error = values[layer.module] - exact
        assert layer.sums is not None, layer.reason
        assert layer.sums.elements == exact.size
        sqnr = 10 * np.log10(np.sum(exact**2) / np.sum(error**2))
        assert layer.sums.sqnr == pytest.approx(sqnr, abs=1e-3)


def test_they_are_simulated_without_loss(
    checkpoint: tuple[Facts, Facts, Any], tmp_path: Path
) -> None:
    ours, base, values = checkpoint
    simulate(ours, tmp_path / "simulated")
    found = read_all(tmp_path / "simulated")
    assert found.keys() == read_all(_folder(base)).keys()
    for module, exact in values.items():
        dtype, simulated = found[f"{module}.weight"]
        assert dtype == "F32" and np.allclose(simulated, exact, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (Case("awq", config=(("version", "gemv"),)), "layout gemv"),
        (Case("gptq", config=(("checkpoint_format", "marlin"),)), "layout marlin"),
    ],
)
def test_other_layouts_have_a_reason_and_no_number(case: Case, reason: str, tmp_path: Path) -> None:
    ours, base, _ = _written(tmp_path, case)
    layers: tuple[LayerError, ...] = compare_weights(ours, base, incomparable={})
    assert layers and all(layer.sums is None and reason in layer.reason for layer in layers)
    with pytest.raises(IncompatibleError, match=reason):
        simulate(ours, tmp_path / "simulated")


def _folder(facts: Facts) -> Path:
    assert facts.checkpoint.folder is not None
    return facts.checkpoint.folder


def _written(folder: Path, case: Case) -> tuple[Facts, Facts, dict[str, np.ndarray]]:
    random = np.random.default_rng(7)
    base: dict[str, np.ndarray] = {"model.norm.weight": np.ones(8, np.float32)}
    packed: dict[str, np.ndarray] = dict(base)
    values = {}
    for module, (outputs, inputs) in LINEAR.items():
        weight = random.standard_normal((outputs, inputs)).astype(np.float32)
        base[f"{module}.weight"] = weight
        tensors, values[module] = _packed(weight, case, random)
        packed |= {f"{module}.{leaf}": tensor for leaf, tensor in tensors.items()}
    quantization = {"quant_method": case.method, "bits": case.bits, "group_size": case.group}
    _write(folder / "base", CONFIG, base)
    config = {**CONFIG, "quantization_config": {**quantization, **dict(case.config)}}
    _write(folder / "packed", config, packed)
    ours, theirs = (read_facts(open_checkpoint(folder / side)) for side in ("packed", "base"))
    return ours, theirs, values


def _packed(
    weight: np.ndarray, case: Case, random: np.random.Generator
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Tensors of a linear layer, and the values `[outputs, inputs]` that they stand for."""
    outputs, inputs = weight.shape
    size = case.group if case.group > 0 else inputs
    groups, most = inputs // size, 2**case.bits - 1
    group = np.arange(inputs) // size
    if case.ordered:
        group = random.permutation(group)
    scales = np.empty((groups, outputs), np.float16)
    zeros = np.empty((groups, outputs), np.int64)
    for number in range(groups):
        part = weight[:, group == number]
        low, high = np.minimum(part.min(1), 0), np.maximum(part.max(1), 0)
        if case.symmetric:
            high = np.maximum(-low, high)
            low = -high
        scales[number] = (high - low) / most
        zeros[number] = (most + 1) // 2 if case.symmetric else np.round(-low / scales[number])
    scale, zero = scales[group].T.astype(np.float64), zeros[group].T
    codes = np.clip(np.round(weight / scale) + zero, 0, most).astype(np.int64)
    tensors = {"scales": scales}
    if case.method == "awq":
        tensors["qweight"] = _words(codes.T, 4, _AWQ_ORDER)
        if not case.symmetric:
            tensors["qzeros"] = _words(zeros, 4, _AWQ_ORDER)
    else:
        order = range(32 // case.bits)
        tensors["qweight"] = np.ascontiguousarray(_words(codes, case.bits, order).T)
        tensors["qzeros"] = _words((zeros - case.zero_less) & most, case.bits, order)
        tensors["g_idx"] = group.astype(np.int32)
    return tensors, (codes - zero) * scale


def _words(values: np.ndarray, bits: int, order: Any) -> np.ndarray:
    """Values `[rows, columns]` in words along the columns, in an order within each word."""
    each = 32 // bits
    words = np.zeros((len(values), values.shape[1] // each), np.uint32)
    for word in range(words.shape[1]):
        for place, taken in enumerate(order):
            column = values[:, word * each + taken].astype(np.uint32)
            words[:, word] |= column << np.uint32(bits * place)
    return words.view(np.int32)


def _write(folder: Path, config: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    folder.mkdir()
    header, content = {}, b""
    for name, array in tensors.items():
        data = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": _TYPES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [len(content), len(content) + len(data)],
        }
        content += data
    told = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(told).to_bytes(8, "little") + told + content)
    (folder / "config.json").write_text(json.dumps(config))
