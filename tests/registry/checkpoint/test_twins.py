"""Models of a terabyte, known from their metadata alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.checkpoint import read_checkpoint
from registry.checkpoint.facts import read_facts
from registry.lint import lint
from registry.source import LocalSource
from tests.twins import ARCHITECTURES, write_twin

# Parameters as their authors count them; Kimi K2's trillion, DeepSeek's 671 billion and MTP.
PARAMETERS = {
    ("Kimi-K2-Instruct", "W8A8"): 1_026_408_232_448,
    ("DeepSeek-R1", "W8A8"): 684_489_845_504,
    ("Qwen3-235B-A22B", "W4A8"): 235_093_634_560,
    ("Qwen3-32B", "FLOAT"): 32_762_123_264,
}


class Counting(LocalSource):
    """A folder that counts the bytes read."""

    total = 0

    def read(self, path: str, offset: int, length: int) -> bytes:
        content = super().read(path, offset, length)
        self.total += len(content)
        return content


@pytest.mark.parametrize(("model", "scheme"), PARAMETERS)
def test_parameters_are_exact(model: str, scheme: str, tmp_path: Path) -> None:
    twin = write_twin(tmp_path / "twin", model, scheme)
    source = Counting(twin)
    facts, _ = lint(source)
    assert facts.footprint["parameters"] == PARAMETERS[model, scheme]
    shards = sum(path.stat().st_size for path in twin.glob("*.safetensors"))
    assert facts.footprint["weights"] + facts.footprint["headers"] == shards
    assert sum(facts.footprint["by_component"].values()) == facts.footprint["weights"]
    assert source.total < 64 * 2**20
    assert sum(path.stat().st_blocks * 512 for path in twin.iterdir()) < 128 * 2**20


@pytest.mark.parametrize("model", [m for m in ARCHITECTURES if not m.startswith(("GLM", "Kimi"))])
def test_every_architecture_has_a_twin(model: str, tmp_path: Path) -> None:
    facts = read_facts(read_checkpoint(write_twin(tmp_path / "twin", model, "FLOAT")))
    assert facts.quantization.method == "none" and not facts.checkpoint.faults
    # Only DeepSeek V4 has hyper-connections, which no component stands for.
    assert ("other" in facts.footprint["by_component"]) == (model == "DeepSeek-V4-Flash")
    numbers = {layer.number for layer in facts.quantization.layers}
    assert set(range(facts.architecture.layers or 0)) <= numbers
