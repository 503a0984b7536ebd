"""Reading LLM-Compressor's own output; the lines are from its log, version 0.14.0.1."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quantizers.calibration import find_calibration
from quantizers.coverage import coverage
from quantizers.interface import Job, Options
from quantizers.llmcompressor import LLMCompressor
from quantizers.llmcompressor.recipe import parse_stages, quantizing
from quantizers.recipe import shipped
from quantizers.target import check_target
from registry.checkpoint import Checkpoint, open_checkpoint
from registry.checkpoint.facts import read_facts
from registry.errors import IncompatibleError, UsageError
from registry.lint.target import CHIPS, Target
from registry.progress import Progress
from tests.checkpoints import CONFIG, FLOAT, LAYER, write_model
from tests.conftest import USER
from tests.quantized import CASES, float_model, quantized
from tests.quantizers.test_recipe import load_recipe


@pytest.mark.parametrize(
    ("line", "stage", "done", "total"),
    [
        (
            "Loading weights:  50%|#####     | 23/46 [00:00<00:00, 9it/s]",
            "loading the model",
            23,
            46,
        ),
        (
            "Applying quantization config: 100%|██████████| 28/28 [00:00<00:00, 7793.00it/s]",
            "preparing layers",
            28,
            28,
        ),
        (
            "(2/5): Calibrating:  25%|██▌       | 8/32 [00:00<00:00, 86.96it/s]",
            "calibrating, block 2 of 5",
            8,
            32,
        ),
        ("Compressing model:   0%|          | 0/28 [00:00<?, ?it/s]", "compressing layers", 0, 28),
        ("Something new:  10%|█  | 1/10 [00:00<?, ?it/s]", "Something new", 1, 10),
    ],
)
def test_progress_bars(line: str, stage: str, done: int, total: int) -> None:
    assert LLMCompressor().read_line(line) == Progress(stage, done, total, "steps")


@pytest.mark.parametrize(
    "line", ["2026-11-23T11:31:04.2984 | resave_config | INFO - Resaved", "done", "50% | 3/4"]
)
def test_other_lines(line: str) -> None:
    assert LLMCompressor().read_line(line) is None


def test_known_failures_have_a_remedy() -> None:
    known = LLMCompressor().explain("OSError: [Errno 28] No space left on device")
    assert known is not None and "disk" in known.remedy
    assert LLMCompressor().explain("something else") is None


# Those that quantize weights of linear layers.
MADE = [
    name
    for name, case in CASES.items()
    if case.tool == "llmcompressor" and case.recipe not in ("kv", "sparse")
]


@pytest.mark.e2e
@pytest.mark.parametrize("name", MADE)
def test_what_a_recipe_says_is_what_llmcompressor_makes(name: str) -> None:
    """Every format that it writes on a CPU, against the recipe that it wrote beside."""
    folder = quantized(name, USER)
    recipe = parse_stages((folder / "recipe.yaml").read_text(), name, "recipe.yaml")
    intent = LLMCompressor().intent(open_checkpoint(float_model(CASES[name].base, USER)), recipe)
    found = coverage(intent, read_facts(open_checkpoint(folder)))
    tied = ("lm_head",) if "tied" in name else ()
    assert intent.layers and all(intent.layers.values())
    assert found.missed in ((), tied) and not found.other


def _moe(folder: Path) -> Checkpoint:
    tensors = {k: v for k, v in FLOAT.items() if ".mlp." not in k}
    tensors |= {f"{LAYER}.mlp.gate.weight": ("BF16", [2, 8])}
    for expert in range(2):
        tensors[f"{LAYER}.mlp.experts.{expert}.up_proj.weight"] = ("BF16", [8, 8])
    return open_checkpoint(write_model(folder, tensors, {**CONFIG, "model_type": "qwen3_moe"}))


@pytest.mark.parametrize(
    ("recipe", "attention", "experts", "chips"),
    [
        ("w8a8-dynamic", "W8A8_DYNAMIC", "W8A8_DYNAMIC", "A2 A3 950"),
        ("model-free-w8a8-dynamic", "W8A8_DYNAMIC", "W8A8_DYNAMIC", "A2 A3 950"),
        ("w4a8-moe", "W8A8_DYNAMIC", "W4A8_DYNAMIC", "A2 A3 950"),
        ("w4a16-moe", None, "W4A16", "A2 A3 950"),
        ("fp8-dynamic", "W8A8FP8_DYNAMIC", "W8A8FP8_DYNAMIC", "950"),
        ("w8a8-static", "W8A8", "W8A8", ""),
    ],
)
def test_which_npus_run_a_recipe_on_experts(
    tmp_path: Path, recipe: str, attention: str | None, experts: str, chips: str
) -> None:
    intent = LLMCompressor().intent(_moe(tmp_path), load_recipe(recipe, "llmcompressor"))
    assert intent.layers.get(f"{LAYER}.self_attn.q_proj") == attention
    assert intent.layers[f"{LAYER}.mlp.experts.1.up_proj"] == experts
    assert f"{LAYER}.mlp.gate" not in intent.layers and "lm_head" not in intent.layers
    able = []
    for name, chip in CHIPS.items():
        try:
            check_target(intent, recipe, Target(chip))
            able.append(name)
        except IncompatibleError:
            pass
    assert able == chips.split()
    # Other engines may run it, so that without a chip it is no more than said.
    assert bool(check_target(intent, recipe, Target())) == (not able)


def test_advice_comes_from_the_tables_of_the_chip(tmp_path: Path) -> None:
    """What is advised must not be what was refused."""

    def refused(recipe: str, chip: str, source: Checkpoint) -> IncompatibleError:
        intent = LLMCompressor().intent(source, load_recipe(recipe, "llmcompressor"))
        with pytest.raises(IncompatibleError) as found:
            check_target(intent, recipe, Target(CHIPS[chip]))
        return found.value

    dense = open_checkpoint(write_model(tmp_path / "dense"))
    error = refused("w8a8-dynamic", "310P", dense)
    assert error.message.endswith("makes on 310P: no kernels for compressed-tensors")
    assert "--tool modelslim --recipe w8a8-dynamic" in error.remedy
    error = refused("fp8-dynamic", "A3", dense)
    assert "no kernel of W8A8FP8_DYNAMIC for attention" in error.message
    assert (
        "w8a8-dynamic, that has attention in W8A8 or W8A8_DYNAMIC, mlp in W8A8 or W8A8_DYNAMIC"
        in error.remedy
    )
    error = refused("w8a8-static", "A3", _moe(tmp_path / "moe"))
    assert "moe in W4A16 or W4A8_DYNAMIC or W8A8_DYNAMIC" in error.remedy


def test_groups_that_the_kernel_does_not_take(tmp_path: Path) -> None:
    text = "{targets: ['re:.*experts.*'], scheme: W4A16, ignore: []}"
    recipe = parse_stages(f"s_stage: {{q_modifiers: {{QuantizationModifier: {text}}}}}", "r", "r")
    intent = LLMCompressor().intent(_moe(tmp_path), recipe)
    assert intent.group_size == 128
    with pytest.raises(IncompatibleError, match="in groups of 128, the kernel takes 32"):
        check_target(intent, "r", Target(CHIPS["A3"]))


def test_the_model_free_path_needs_memory_for_a_shard_alone(tmp_path: Path) -> None:
    from tests.checkpoints import write_sharded

    source = open_checkpoint(write_sharded(tmp_path))
    tool = LLMCompressor()
    whole = tool.estimate(source, load_recipe("w8a8-dynamic", "llmcompressor"))
    by_shard = tool.estimate(source, load_recipe("model-free-w8a8-dynamic", "llmcompressor"))
    assert "model-free-w8a8-dynamic" in whole.otherwise
    assert not by_shard.otherwise and by_shard.disk == whole.disk


def test_model_free_recipes() -> None:
    assert {n for n in shipped("llmcompressor") if n.startswith("model-free")} == {
        "model-free-w8a8-dynamic",
        "model-free-fp8-dynamic",
    }
    (rule,) = quantizing(load_recipe("model-free-fp8-dynamic", "llmcompressor"))
    assert rule["scheme"] == "FP8_DYNAMIC" and rule["targets"] == ["Linear"]
    for wrong in ("model_free: INT8", "model_free: {ignore: []}", "model_free: {scheme: 8}"):
        with pytest.raises(UsageError, match="model_free is not"):
            parse_stages(wrong, "x", "x")
    with pytest.raises(UsageError, match="takes no calibration"):
        parse_stages(
            "model_free: {scheme: INT8}\ncalibration: {samples: 1, max_tokens: 1}", "x", "x"
        )


def test_what_belongs_to_modelslim(tmp_path: Path) -> None:
    source, recipe = _moe(tmp_path), load_recipe("w8a8-dynamic", "llmcompressor")
    with pytest.raises(UsageError, match="no scripts"):
        LLMCompressor().check(source, recipe, Options(script=tmp_path / "x.py"))
    with pytest.raises(UsageError, match="NPUs"):
        LLMCompressor().check(source, recipe, Options(device="npu"))


def test_a_json_array_is_a_calibration_set(tmp_path: Path) -> None:
    """The guide's own sets are arrays; the worker reads lines."""
    source, work = write_model(tmp_path / "m"), tmp_path / "work"
    work.mkdir()
    given = tmp_path / "set.json"
    given.write_text('["ä", {"messages": [{"role": "user", "content": "b"}]}, {"text": "c"}]')
    recipe = load_recipe("w8a8-static", "llmcompressor")
    found = find_calibration(recipe, given)
    assert found is not None and found.lines == 3
    job = Job(source, tmp_path / "out", recipe, given, work, open_checkpoint(source))
    LLMCompressor().command(job, _Tool)  # type: ignore[arg-type]
    used = Path(json.loads((work / "job.json").read_text())["calibration"])
    rows = [json.loads(line) for line in used.read_text().splitlines()]
    assert rows == [
        {"text": "ä"},
        {"messages": [{"role": "user", "content": "b"}]},
        {"text": "c"},
    ]


class _Tool:
    python = Path("/usr/bin/python3")
    version = "0.14.0.1"
    python_version = "3.11.7"
