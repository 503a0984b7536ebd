"""Outlining from some shards gives what all of them give, or does not happen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from registry.checkpoint import open_checkpoint
from registry.checkpoint.facts import read_facts
from registry.checkpoint.outline import outline_of
from registry.checkpoint.sampling import read_outline
from registry.source import LocalSource
from tests.twins import write_twin


class Counting(LocalSource):
    """A folder that counts what is read of it."""

    bytes_read = 0

    def read(self, path: str, offset: int, length: int) -> bytes:
        content = super().read(path, offset, length)
        self.bytes_read += len(content)
        return content


@pytest.mark.parametrize(
    ("model", "scheme"),
    [
        ("DeepSeek-R1", "W8A8"),  # dense layers, an MTP layer under a decoder layer's name
        ("Qwen3.5-122B-A10B", "W8A8"),  # two kinds of attention, vision, MTP beside the layers
        ("Qwen3-235B-A22B", "INT8"),  # without a description
    ],
)
def test_a_sample_gives_what_all_headers_give(tmp_path: Path, model: str, scheme: str) -> None:
    source = Counting(write_twin(tmp_path / "twin", model, scheme))
    sampled = read_outline(source)
    read, source.bytes_read = source.bytes_read, 0
    whole = outline_of(read_facts(open_checkpoint(source)))

    assert sampled.shards_read < sampled.shards == whole.shards
    assert read < source.bytes_read / 3
    assert sampled.schemes == whole.schemes
    assert sorted(sampled.kinds) == sorted(whole.kinds)
    assert sampled.weight_bytes == whole.weight_bytes


def test_a_small_model_is_read_whole(tmp_path: Path) -> None:
    outline = read_outline(LocalSource(write_twin(tmp_path / "twin", "Qwen3-8B", "W8A8")))
    assert outline.shards_read == outline.shards


def test_layers_that_are_not_alike_are_all_read(tmp_path: Path) -> None:
    folder = write_twin(tmp_path / "twin", "Qwen3-235B-A22B", "W8A8_DYNAMIC")
    path = folder / "quant_model_description.json"
    described = json.loads(path.read_text())
    name = "model.layers.0.self_attn.q_proj.weight"
    described[name.replace("layers.0", "layers.47")] = described[name] = "W8A16"
    path.write_text(json.dumps(described))
    outline = read_outline(LocalSource(folder))
    assert outline.shards_read == outline.shards
    assert outline.schemes["attention"]["W8A16"] == 2


def test_files_that_are_larger_than_config_json_explains_are_all_read(tmp_path: Path) -> None:
    folder = write_twin(tmp_path / "twin", "Qwen3-235B-A22B", "INT8")
    config = json.loads((folder / "config.json").read_text())
    config["num_experts"] = 64
    (folder / "config.json").write_text(json.dumps(config))
    outline = read_outline(LocalSource(folder))
    assert outline.shards_read == outline.shards
