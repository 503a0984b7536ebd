"""Artifacts in the engine's own layout: W8A8SC for 310P, compressed for one tensor parallel size.

vLLM Ascend's examples/save_sharded_state_310.py (0.23.0) writes one file a rank, with the engine's
names (`qkv_proj`, `gate_up_proj`) and weights as vectors, and copies everything else beside them:
the description keeps the names of the model that was compressed, and so does its index. Such
artifacts are published and deployed on 310P (Qwen3-8B, -14B and -32B, the last for four ranks).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.finding import ERROR
from registry.lint import CHIPS, Target, lint
from registry.source import LocalSource
from tests.lint_cases import Artifact, Model, Stored, made, modelslim
from tests.registry.lint.cases.changes import arrange, half
from tests.twins.write import write_sparse_shard

_FUSED = {"q_proj": "qkv_proj", "k_proj": "qkv_proj", "v_proj": "qkv_proj"}
_FUSED |= {"gate_proj": "gate_up_proj", "up_proj": "gate_up_proj"}


def _describe(model: Model) -> None:
    """The description of the W8A8S model, of which the script renames the weights' type."""
    model.requantize("_proj", "W8A8")
    half(model)
    assert model.description is not None
    for name, kind in model.description.items():
        if kind == "W8A8":
            model.description[name] = "W8A8SC" if name.endswith(".weight") else "W8A8S"
    model.description["model_quant_type"] = "W8A8SC"


def _rank(model: Model, ranks: int) -> dict[str, Stored]:
    """What one rank's file holds."""
    rows: dict[str, int] = {}
    tensors: dict[str, Stored] = {
        name: (dtype, (shape[0] // ranks, *shape[1:]) if len(shape) == 2 else shape)
        for name, (dtype, shape) in model.tensors.items()
        if "_proj" not in name
    }
    for name, part in model.parts.items():
        parent, _, leaf = name.rpartition(".")
        if "_proj" in name:
            fused = f"{parent}.{_FUSED.get(leaf, leaf)}"
            rows[fused] = rows.get(fused, 0) + part.shape[0]
            tensors[f"{fused}.weight"] = ("I8", (rows[fused] * part.shape[1] // ranks // 2,))
            tensors[f"{fused}.index"] = ("I8", (8,))
            tensors[f"{fused}.info"] = ("I64", (5,))
            tensors[f"{fused}.quant_bias"] = ("I32", (rows[fused] // ranks,))
            tensors[f"{fused}.deq_scale"] = ("I64", (rows[fused] // ranks,))
            tensors[f"{fused}.input_scale"] = ("F16", (1,))
            tensors[f"{fused}.input_offset"] = ("I8", (1,))
    return tensors


def _compressed_for(ranks: int) -> Artifact:
    def write(model: Model) -> None:
        def save(folder: Path) -> None:
            for shard in folder.glob("*.safetensors"):
                shard.unlink()
            for rank in range(ranks):
                path = folder / f"model-rank-{rank}-part-0.safetensors"
                write_sparse_shard(path, _rank(model, ranks))

        model.finishing.append(save)

    return made(modelslim, arrange(indexed=False), _describe, write)


@pytest.mark.parametrize("ranks", [1, 4])
def test_it_is_sound_for_the_size_that_it_was_made_for(ranks: int, tmp_path: Path) -> None:
    artifact = _compressed_for(ranks)(tmp_path / "artifact")
    facts, findings = lint(LocalSource(artifact), Target(CHIPS["310P"], ranks))
    assert [finding for finding in findings if finding.severity == ERROR] == []
    assert facts.quantization.scheme == "W8A8SC"
    assert facts.quantization.tensor_parallel == ranks


@pytest.mark.parametrize("wanted", [2, 8])
def test_it_is_for_no_other_size(wanted: int, tmp_path: Path) -> None:
    artifact = _compressed_for(4)(tmp_path / "artifact")
    _, findings = lint(LocalSource(artifact), Target(CHIPS["310P"], wanted))
    assert ("tensor-parallel-layout", ERROR) in {(f.id, f.severity) for f in findings}


def test_it_is_for_no_other_chip(tmp_path: Path) -> None:
    artifact = _compressed_for(1)(tmp_path / "artifact")
    _, findings = lint(LocalSource(artifact), Target(CHIPS["A3"], 1))
    assert ("scheme-unsupported", ERROR) in {(f.id, f.severity) for f in findings}
