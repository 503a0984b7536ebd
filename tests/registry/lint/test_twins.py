"""Lint of real models' names and shapes, in the schemes and layouts that they are deployed in."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from registry.checkpoint import open_checkpoint
from registry.checkpoint.facts import Facts, read_facts
from registry.finding import ERROR, INFO, WARNING
from registry.lint import CHIPS, Target, lint_facts
from registry.source import LocalSource
from tests.twins import ARCHITECTURES, SCHEMES, write_twin

Found = set[tuple[str, str]]  # id, severity
Open = Callable[[str, str], tuple[Facts, LocalSource]]

# Small ones in every scheme and on every chip; of the others the schemes that say most.
_SMALL = ("Qwen3-8B", "Qwen3-14B", "Qwen3-32B", "QwQ-32B", "Qwen3.5-27B")
_LARGE: Mapping[str, tuple[str, ...]] = {
    "DeepSeek-R1": ("W8A8", "FP8"),
    "DeepSeek-V3.2": ("W8A8",),
    "DeepSeek-V4-Flash": ("W8A8_DYNAMIC",),
    "Kimi-K2-Instruct": ("INT8",),
    "Kimi-K2.5": ("W4A8",),
    "GLM-5": ("W8A8",),
    "GLM-5.2": ("FP8",),
    "MiniMax-M2": ("W8A8",),
    "Qwen3-235B-A22B": ("W8A8", "FLOAT"),
    "Qwen3-VL-235B-A22B": ("W8A8_DYNAMIC",),
    "Qwen3.5-35B-A3B": ("W4A8",),
    "Qwen3.5-122B-A10B": ("W8A8",),
    "Qwen3.5-397B-A17B": ("INT8",),
}
_ROWS = [(model, scheme) for model, schemes in _LARGE.items() for scheme in schemes]
_ROWS += [(model, scheme) for model in _SMALL for scheme in SCHEMES]
# What vLLM Ascend's CI and tutorials run: chip, tensor parallel, data parallel size. The same
# architecture stands for later versions of a model (V3.1, GLM-5.1, K2.6, M2.7, Qwen3.6).
_DEPLOYED: Mapping[tuple[str, str], tuple[tuple[str, int, int], ...]] = {
    ("DeepSeek-R1", "W8A8"): (("A3", 8, 2), ("A3", 2, 8), ("A3", 1, 32)),
    ("DeepSeek-V3.2", "W8A8"): (("A3", 16, 1), ("A3", 4, 8)),
    ("Kimi-K2.5", "W4A8"): (("A3", 8, 2), ("A3", 4, 4)),
    ("GLM-5", "W8A8"): (("A2", 8, 2), ("A3", 16, 1), ("A3", 4, 8)),
    ("MiniMax-M2", "W8A8"): (("A3", 8, 2), ("A3", 2, 16)),
    ("Qwen3-235B-A22B", "W8A8"): (("A3", 4, 4), ("A3", 1, 32)),
    ("Qwen3-235B-A22B", "FLOAT"): (("A2", 8, 2), ("A3", 4, 4)),
    ("Qwen3-VL-235B-A22B", "W8A8_DYNAMIC"): (("A3", 4, 4),),
    ("Qwen3.5-35B-A3B", "W4A8"): (("A3", 2, 1),),
    ("Qwen3.5-122B-A10B", "W8A8"): (("A2", 8, 1), ("A3", 4, 1)),
    ("Qwen3.5-27B", "W8A8_DYNAMIC"): (("A2", 2, 1), ("A3", 2, 1), ("310P", 2, 1)),
    ("Qwen3-32B", "W8A8"): (("A2", 4, 1), ("A3", 2, 1)),
    ("QwQ-32B", "FLOAT"): (("A3", 4, 1),),
}
# Layouts whose weights are larger than the devices.
_TOO_LARGE: Mapping[tuple[str, str], tuple[str, int, int]] = {
    ("DeepSeek-R1", "W8A8"): ("A2", 8, 1),
    ("Kimi-K2-Instruct", "INT8"): ("A3", 16, 1),
    ("Qwen3-235B-A22B", "FLOAT"): ("A2", 8, 1),
    ("Qwen3-32B", "FLOAT"): ("310P", 4, 1),
}


@pytest.fixture
def open_twin(tmp_path: Path) -> Iterator[Open]:
    """Writes a twin, and removes it after the test: pytest would keep it for two more runs."""

    def open_one(model: str, scheme: str) -> tuple[Facts, LocalSource]:
        folder = write_twin(tmp_path / "twin", model, scheme)
        return read_facts(open_checkpoint(folder)), LocalSource(folder)

    yield open_one
    shutil.rmtree(tmp_path / "twin")


def _expected(model: str, scheme: str, chip: str | None) -> Found:
    """What is to be said of a twin, beside the memory that it takes."""
    if scheme == "FP8":  # DeepSeek V3's format; only DeepSeek V4 is served in FP8, on the 950
        return {("method-unsupported", ERROR if chip else WARNING)}
    if scheme == "INT8" and chip == "310P":
        return {("method-unsupported", ERROR)}
    if scheme == "W8A8" and chip == "310P":  # deq_scale is float32 in bfloat16 models
        return {("deq-scale", ERROR)}
    # A dense model has nothing that this recipe makes W4A8.
    if scheme == "W4A8" and model not in _SMALL:
        return {("model-quant-type", INFO)}
    return set()


def _said(facts: Facts, source: LocalSource, target: Target | None) -> Found:
    return {(finding.id, finding.severity) for finding in lint_facts(facts, source, target)}


def test_every_architecture_is_looked_at() -> None:
    assert {model for model, _ in _ROWS} == ARCHITECTURES.keys()
    assert {scheme for _, scheme in _ROWS} == SCHEMES.keys()
    assert {*_DEPLOYED, *_TOO_LARGE} <= set(_ROWS)


@pytest.mark.parametrize(("model", "scheme"), _ROWS)
def test_exactly_what_is_right_is_said(model: str, scheme: str, open_twin: Open) -> None:
    facts, source = open_twin(model, scheme)
    footprint = facts.footprint
    # DeepSeek V4 has hyper-connections, which no component stands for.
    assert ("other" in footprint["by_component"]) == (model == "DeepSeek-V4-Flash")
    assert sum(footprint["by_component"].values()) == footprint["weights"]

    assert _said(facts, source, None) == _expected(model, scheme, None)
    chips = CHIPS if model in _SMALL or scheme == "FP8" else ("A3",)
    for chip in chips:
        said = {found for found in _said(facts, source, Target(CHIPS[chip])) if found[0] != MEMORY}
        assert said == _expected(model, scheme, chip), chip

    for chip, tensor_parallel, data_parallel in _DEPLOYED.get((model, scheme), ()):
        target = Target(CHIPS[chip], tensor_parallel, data_parallel)
        said = _said(facts, source, target)
        assert said == _expected(model, scheme, chip) | {(MEMORY, INFO)}, target
    if (model, scheme) in _TOO_LARGE:
        chip, tensor_parallel, data_parallel = _TOO_LARGE[model, scheme]
        target = Target(CHIPS[chip], tensor_parallel, data_parallel)
        assert (MEMORY, ERROR) in _said(facts, source, target)


MEMORY = "rank-memory"
