"""What is refused before anything heavy starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quantizers.calibration import find_calibration
from quantizers.interface import Needs
from quantizers.llmcompressor import LLMCompressor
from quantizers.llmcompressor.recipe import parse_stages
from quantizers.preflight import check_output, check_recipe_fits, check_resources, check_source
from quantizers.recipe import Recipe
from quantizers.target import check_ranks
from registry.checkpoint import open_checkpoint
from registry.errors import IncompatibleError, NotFoundError, UsageError
from registry.lint.target import CHIPS, Target
from tests.checkpoints import CONFIG, write_model, write_quantized
from tests.quantizers.test_recipe import load_recipe

DYNAMIC = load_recipe("w8a8-dynamic", "llmcompressor")
SMOOTH = load_recipe("w8a8-smooth", "llmcompressor")


def _check(source: Path, output: Path, recipe: Recipe = DYNAMIC) -> None:
    tool = LLMCompressor()
    checkpoint = check_source(source, output)
    check_recipe_fits(checkpoint, recipe, tool.intent(checkpoint, recipe))
    check_resources(tool.estimate(checkpoint, recipe), output)


def test_a_sound_job_passes(tmp_path: Path) -> None:
    _check(write_model(tmp_path / "m"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("where", ["m", "m/out", "m/deep/er", "link", "link/out", "x/../m/out"])
def test_the_output_never_touches_the_source(tmp_path: Path, where: str) -> None:
    source = write_model(tmp_path / "m")
    (tmp_path / "link").symlink_to(source)
    with pytest.raises(UsageError, match="source folder"):
        check_output(source, tmp_path / where)


def test_an_output_that_holds_something(tmp_path: Path) -> None:
    source = write_model(tmp_path / "m")
    (tmp_path / "out").mkdir()
    check_output(source, tmp_path / "out")
    (tmp_path / "out" / "x").write_text("")
    with pytest.raises(UsageError, match="not empty"):
        check_output(source, tmp_path / "out")


def test_a_model_that_is_quantized_already(tmp_path: Path) -> None:
    with pytest.raises(IncompatibleError, match="quantized already"):
        _check(write_quantized(tmp_path / "q"), tmp_path / "out")


def test_a_recipe_that_names_nothing_here(tmp_path: Path) -> None:
    rule = "{QuantizationModifier: {targets: ['re:nope'], scheme: INT8}}"
    recipe = parse_stages(f"stages: {{s: {{q_modifiers: {rule}}}}}", "r", "r.yaml")
    with pytest.raises(IncompatibleError, match="names no layer"):
        _check(write_model(tmp_path / "m"), tmp_path / "out", recipe)


def test_calibration_sets(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    with pytest.raises(UsageError, match="needs a calibration set"):
        find_calibration(SMOOTH, None)
    with pytest.raises(NotFoundError):
        find_calibration(SMOOTH, path)
    for content, reason in (
        ("", "is empty"),
        ('{"text": "a"}\nnope', "line 2 is not JSON"),
        ('{"prompt": "a"}', "holds no text"),
        ('{"text": ""}', "holds no text"),
    ):
        path.write_text(content)
        with pytest.raises(UsageError, match=reason):
            find_calibration(SMOOTH, path)
    path.write_text('{"text": "a"}\n\n"b"\n{"messages": []}\n')
    find_calibration(SMOOTH, path)
    with pytest.raises(UsageError, match="data-free"):
        find_calibration(DYNAMIC, path)


def test_calibration_sets_that_modelslim_does_not_take(tmp_path: Path) -> None:
    """It would be told when the source is read and ModelSlim about to start."""
    recipe, path = load_recipe("w8a8", "modelslim"), tmp_path / "c.jsonl"
    path.write_text('{"text": "a"}\n{"messages": [{"role": "user", "content": "b"}]}\n')
    assert find_calibration(SMOOTH, path)
    with pytest.raises(UsageError, match="line 2 holds a chat, and no text") as refused:
        find_calibration(recipe, path)
    assert "inputs_pretokenized" in refused.value.remedy
    assert "LLM-Compressor alone" in refused.value.remedy
    with pytest.raises(UsageError, match="is a folder"):
        find_calibration(recipe, tmp_path)
    with pytest.raises(NotFoundError, match="no calibration file"):
        find_calibration(recipe, "org/dataset")
    path.write_text('{"text": "a"}\n{"inputs_pretokenized": "b"}\n"c"\n')
    found = find_calibration(recipe, path)
    assert found is not None and found.lines == 3


def test_too_little_memory_or_disk(tmp_path: Path) -> None:
    check_resources(Needs(memory=1, disk=1), tmp_path / "a" / "b")
    with pytest.raises(IncompatibleError, match="GiB of memory"):
        check_resources(Needs(memory=2**60, disk=1), tmp_path)
    with pytest.raises(IncompatibleError, match="disk space below"):
        check_resources(Needs(memory=1, disk=2**60), tmp_path / "a" / "b")


def test_a_huge_model_is_refused_from_its_headers_alone(tmp_path: Path) -> None:
    """A sparse file: 4 TB of weights that take no space."""
    size, name = 4 * 10**12, "model.layers.0.mlp.up_proj.weight"
    entry = {name: {"dtype": "BF16", "shape": [10**6, 2 * 10**6], "data_offsets": [0, size]}}
    header = json.dumps(entry).encode()
    source = write_model(tmp_path / "m")
    with (source / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)
    with pytest.raises(IncompatibleError, match=r"needs about \d+\.\d GiB of memory"):
        _check(source, tmp_path / "out")


def test_calibration_takes_memory(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(write_model(tmp_path / "m"))
    tool = LLMCompressor()
    assert tool.estimate(checkpoint, SMOOTH).memory > tool.estimate(checkpoint, DYNAMIC).memory


@pytest.mark.parametrize(
    ("heads", "kv_heads", "ranks", "able"),
    [(4, 2, 3, "1, 2 or 4"), (12, 3, 4, "1, 3, 6 or 12"), (7, 1, 2, "1 or 7"), (8, 2, 16, "or 8")],
)
def test_ranks_that_cannot_share_heads(
    tmp_path: Path, heads: int, kv_heads: int, ranks: int, able: str
) -> None:
    """The engine would refuse the result, hours later; config.json tells it now."""
    sizes = {"num_attention_heads": heads, "num_key_value_heads": kv_heads}
    checkpoint = open_checkpoint(write_model(tmp_path / "m", config={**CONFIG, **sizes}))
    with pytest.raises(IncompatibleError, match="heads cannot be shared by") as refused:
        check_ranks(checkpoint, Target(CHIPS["A3"], ranks))
    assert refused.value.remedy.endswith(f"{able}.")
    check_ranks(checkpoint, Target(CHIPS["A3"], 1))
    check_ranks(checkpoint, Target(CHIPS["A3"]))
