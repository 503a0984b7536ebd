"""What the real quantizers write: all of it is accounted for, and nothing false is said of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from registry.checkpoint.quantization import UNKNOWN
from registry.lint import lint
from registry.source import LocalSource
from tests.conftest import USER
from tests.quantized import CASES, FLOAT_MODELS, float_model, quantized
from tests.registry.lint.real_outputs import EXPECTED, PARAMETERS

pytestmark = pytest.mark.e2e
# Every tensor of it is in two files.
_TWICE = "modelslim-v1-w8a8-two-savers"


def _folder(name: str) -> Path:
    return float_model(name, USER) if name in FLOAT_MODELS else quantized(name, USER)


def _base(name: str) -> str:
    return name if name in FLOAT_MODELS else CASES[name].base


def test_every_output_has_an_expectation() -> None:
    assert EXPECTED.keys() == {*FLOAT_MODELS, *CASES}
    assert PARAMETERS.keys() == FLOAT_MODELS.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_every_byte_and_every_layer_is_accounted_for(name: str) -> None:
    facts, _ = lint(LocalSource(_folder(name)))
    checkpoint, footprint = facts.checkpoint, facts.footprint
    sizes = sum(checkpoint.files[shard] for shard in checkpoint.shards)
    doubled = footprint["weights"] if name == _TWICE else 0
    assert (
        footprint["weights"] + footprint["headers"]
        <= sizes
        <= (footprint["weights"] + footprint["headers"] + doubled)
    )
    assert sum(footprint["by_dtype"].values()) == footprint["weights"]
    assert sum(footprint["by_component"].values()) == footprint["weights"]
    assert "other" not in footprint["by_component"]
    assert [layer.module for layer in facts.quantization.layers if layer.scheme == UNKNOWN] == []
    modules = Counter(layer.module for layer in facts.quantization.layers)
    assert modules.total() == len(modules)


@pytest.mark.parametrize("name", EXPECTED)
def test_there_are_as_many_parameters_as_before(name: str) -> None:
    """But for those that the tool adds; `real_outputs` says which they are."""
    facts, _ = lint(LocalSource(_folder(name)))
    added = EXPECTED[name].added
    assert facts.footprint["parameters"] == PARAMETERS[_base(name)] + added
    assert sum(facts.footprint["parameters_by_dtype"].values()) == facts.footprint["parameters"]


@pytest.mark.parametrize("name", EXPECTED)
def test_the_quantization_is_read(name: str) -> None:
    expected = EXPECTED[name]
    found = lint(LocalSource(_folder(name)))[0].quantization
    assert found.method == expected.method
    assert found.schemes == {**expected.schemes, **expected.computations}
    assert found.group_size == expected.group_size
    symmetric = {"weights": expected.weights, "activations": expected.activations}
    assert dict(found.symmetric) == symmetric
    assert found.rotated == expected.rotated
    assert found.tensor_parallel == expected.tensor_parallel


@pytest.mark.parametrize("name", EXPECTED)
def test_exactly_what_is_right_is_said(name: str) -> None:
    findings = lint(LocalSource(_folder(name)))[1]
    assert {(finding.id, finding.severity) for finding in findings} == EXPECTED[name].all_findings
