"""ModelSlim: what its practices say, what its log says, and what is refused before it runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from quantizers.coverage import coverage
from quantizers.interface import Job, Options
from quantizers.modelslim import ModelSlim
from quantizers.modelslim.devices import check_device, read_device
from quantizers.modelslim.families import kind_of_model
from quantizers.modelslim.paths import is_taken, source_for_modelslim
from quantizers.modelslim.patterns import NamePatterns, expand_braces
from quantizers.modelslim.practice import is_data_free, parse_practice, rules_of, with_datasets
from quantizers.modelslim.reading import FAILURES, own_words, read_progress, read_warning
from quantizers.modelslim.tokenizers import check_tokenizer
from quantizers.recipe import Recipe
from quantizers.target import check_target
from registry.checkpoint import Checkpoint, open_checkpoint
from registry.checkpoint.facts import read_facts
from registry.errors import IncompatibleError, UsageError
from registry.lint.target import CHIPS, Target
from registry.progress import Progress
from tests.checkpoints import CONFIG, FLOAT, LAYER, write_model
from tests.conftest import USER, Run
from tests.quantized import CASES, float_model, quantized
from tests.quantizers.test_recipe import load_recipe

V1 = [name for name, case in CASES.items() if case.worker == "modelslim_v1"]


@pytest.mark.e2e
@pytest.mark.parametrize("name", V1)
def test_what_a_practice_says_is_what_modelslim_makes(name: str) -> None:
    """Every format that ModelSlim writes on a CPU, against the practice that it wrote beside."""
    folder = quantized(name, USER)
    (path,) = folder.glob("*_best_practice.yaml")
    recipe = parse_practice(path.read_text(), name, str(path))
    source = open_checkpoint(float_model(CASES[name].base, USER))
    intent = ModelSlim().intent(source, recipe)
    assert intent.layers
    if name == "modelslim-v1-w8a8-two-savers":
        return  # two descriptions in one folder: not a checkpoint that anything reads
    found = coverage(intent, read_facts(open_checkpoint(folder)))
    if intent.method == "modelslim":
        assert found.complete, found
    assert not found.missed and not found.computations


def test_patterns() -> None:
    assert len(expand_braces("a.{b,c}.{1..3}")) == 6
    assert sorted(expand_braces("l.{1..3}")) == ["l.1", "l.2", "l.3"]
    assert set(expand_braces("{a,b{c,d}}")) == {"a", "bc", "bd"}
    assert expand_braces("{a}") == ["{a}"]
    patterns = NamePatterns(["*.mlp.{up,down}_proj", "lm_head", "model.layers.{0..2}.x"])
    assert patterns.match("model.layers.3.mlp.up_proj")
    assert not patterns.match("model.layers.3.mlp.gate_proj")
    assert patterns.match("model.layers.2.x") and not patterns.match("model.layers.3.x")
    assert not NamePatterns([]).match("x")


def _moe(folder: Path) -> Checkpoint:
    tensors = {k: v for k, v in FLOAT.items() if ".mlp." not in k}
    tensors |= {f"{LAYER}.mlp.gate.weight": ("BF16", [2, 8])}
    for expert in range(2):
        tensors[f"{LAYER}.mlp.experts.{expert}.up_proj.weight"] = ("BF16", [8, 8])
    config = {**CONFIG, "model_type": "qwen3_moe", "num_experts": 2, "num_experts_per_tok": 1}
    return open_checkpoint(write_model(folder, tensors, config))


def test_the_guides_mixture(tmp_path: Path) -> None:
    intent = ModelSlim().intent(_moe(tmp_path), load_recipe("w8a8-moe", "modelslim"))
    assert intent.layers[f"{LAYER}.self_attn.q_proj"] == "W8A8"
    assert intent.layers[f"{LAYER}.mlp.experts.1.up_proj"] == "W8A8_DYNAMIC"
    assert f"{LAYER}.mlp.gate" not in intent.layers and "lm_head" not in intent.layers


@pytest.mark.parametrize(
    ("recipe", "chip", "fits"),
    [
        ("w8a8-moe", "A3", True),
        ("w8a8-moe", "310P", True),
        ("w4a8-dynamic", "A2", True),
        ("w4a8-dynamic", "310P", False),
        ("w8a8", None, False),  # experts in static W8A8
        ("w8a16", "A3", False),
        ("w8a8-dynamic", None, True),
    ],
)
def test_schemes_without_a_kernel_are_refused_first(
    tmp_path: Path, recipe: str, chip: str | None, fits: bool
) -> None:
    intent = ModelSlim().intent(_moe(tmp_path), load_recipe(recipe, "modelslim"))
    target = Target(CHIPS[chip] if chip else None)
    if fits:
        assert check_target(intent, recipe, target) == []
    else:
        with pytest.raises(IncompatibleError, match=r"no kernel of W\w+ for moe") as refused:
            check_target(intent, recipe, target)
        assert re.search(r"moe in [\w ]*W8A8_DYNAMIC", refused.value.remedy)


def test_which_practices_are_data_free() -> None:
    for name in ("w8a8-dynamic", "w8a16", "w4a8-dynamic"):
        recipe = load_recipe(name, "modelslim")
        assert recipe.calibration is None and is_data_free(recipe.body)
    for name in ("w8a8", "w8a8-smooth", "w8a8c8", "w8a8-moe"):
        recipe = load_recipe(name, "modelslim")
        assert recipe.calibration is not None and recipe.calibration.default == "mix_calib.jsonl"
        assert not is_data_free(recipe.body)


V0 = """
apiversion: modelslim_v0
metadata: {config_id: old}
spec:
  calib_cfg: {w_bit: 8, a_bit: 8, disable_names: [model.layers.0.mlp.up_proj, model.layers.9.x]}
  calib_params: {disable_level: L2, mix_cfg: {"*.mlp.*": w8a8_dynamic, "*": w8a8}}
"""


def test_v0_practices(tmp_path: Path) -> None:
    recipe = parse_practice(V0, "old", "old.yaml")
    source = open_checkpoint(write_model(tmp_path / "m"))
    intent = ModelSlim().intent(source, recipe)
    assert intent.spare == 2
    assert intent.layers[f"{LAYER}.mlp.down_proj"] == "W8A8_DYNAMIC"
    assert intent.layers[f"{LAYER}.self_attn.q_proj"] == "W8A8"
    assert f"{LAYER}.mlp.up_proj" not in intent.layers
    changed = with_datasets(recipe.body, "/c.jsonl", "/a.jsonl")["spec"]
    assert (changed["calib_dataset"], changed["anti_dataset"]) == ("/c.jsonl", "/a.jsonl")
    with pytest.raises(IncompatibleError, match=r"does not have: model\.layers\.9\.x"):
        ModelSlim().check(source, recipe, Options(device="cpu"))


def test_smoothing_that_fails_on_a_cpu_is_refused(tmp_path: Path) -> None:
    step = "{type: linear_quant, qconfig: {weight: {scope: per_channel, dtype: int8}}}"
    spec = f"{{process: [{{type: iter_smooth}}, {step}], save: [{{type: ascendv1_saver}}]}}"
    recipe = parse_practice(f"apiversion: modelslim_v1\nspec: {spec}", "x", "x")
    source = open_checkpoint(write_model(tmp_path / "m"))
    with pytest.raises(IncompatibleError, match="iter_smooth") as caught:
        ModelSlim().check(source, recipe, Options(device="cpu"))
    assert "flex_smooth_quant" in caught.value.remedy


def test_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    four = read_device("npu:4,5,6,7")
    assert four.argument(several=True) == "npu:0,1,2,3"
    assert four.argument(several=False) == "npu"
    assert four.environment({}) == {
        "ASCEND_RT_VISIBLE_DEVICES": "4,5,6,7",
        "PYTORCH_NPU_ALLOC_CONF": "expandable_segments:False",
    }
    seen = {"ASCEND_RT_VISIBLE_DEVICES": "8,9,10"}
    assert read_device("npu:0,2").environment(seen)["ASCEND_RT_VISIBLE_DEVICES"] == "8,10"
    assert read_device("npu:3").argument(several=True) == "npu"
    assert read_device("cpu").environment({}) == {}
    for wrong in ("gpu", "npu:", "npu:0,0", "npu:a", "cpu:0,1", "npu:-1"):
        with pytest.raises(UsageError):
            read_device(wrong)
    with pytest.raises(IncompatibleError, match="no NPU") as caught:
        check_device(read_device("npu"), tmp_path)
    assert "--device cpu" in caught.value.remedy
    for number in range(2):
        (tmp_path / f"davinci{number}").touch()
    check_device(read_device("npu:0,1"), tmp_path)
    with pytest.raises(IncompatibleError, match="no NPU 2: this machine shows 2"):
        check_device(read_device("npu:1,2"), tmp_path)
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", "")
    with pytest.raises(IncompatibleError, match="hides all NPUs"):
        check_device(read_device("npu"), tmp_path)


def test_a_source_under_any_path(tmp_path: Path) -> None:
    source, work = write_model(tmp_path / "my models" / "Qwen (1)"), tmp_path / "work"
    assert not is_taken(source)
    before = {p.name: p.stat().st_mode for p in source.iterdir()}
    shown = source_for_modelslim(source, work)
    assert is_taken(shown)
    assert {p.name: p.read_bytes() for p in shown.iterdir()} == {
        p.name: p.read_bytes() for p in source.iterdir()
    }
    assert (shown / "model.safetensors").samefile(source / "model.safetensors")
    assert {p.name: p.stat().st_mode for p in source.iterdir()} == before
    plain = write_model(tmp_path / "plain")
    assert source_for_modelslim(plain, work) == plain


def test_outputs_that_modelslim_cannot_write_to(tmp_path: Path) -> None:
    tool = ModelSlim()
    tool.check_output(tmp_path / "out")
    for name in ("my out", "größe/out", "out(1)"):
        with pytest.raises(IncompatibleError, match="cannot write to") as caught:
            tool.check_output(tmp_path / name)
        assert "--output" in caught.value.remedy


def _job(tmp_path: Path, recipe: Recipe, **more: object) -> Job:
    source = write_model(tmp_path / "m")
    (tmp_path / "work").mkdir()
    return Job(
        **{  # type: ignore[arg-type]
            "source": source,
            "output": tmp_path / "out",
            "recipe": recipe,
            "calibration": None,
            "work": tmp_path / "work",
            "checkpoint": open_checkpoint(source),
            **more,
        }
    )


def test_calibration_sets_are_turned_into_modelslims_layout(tmp_path: Path) -> None:
    calibration = tmp_path / "c.jsonl"
    calibration.write_text('{"text": "one"}\n\n"two"\n{"inputs_pretokenized": "三"}\n')
    job = _job(tmp_path, load_recipe("w8a8", "modelslim"), calibration=calibration)
    tool = ModelSlim()
    command = tool.command(job, _Tool)  # type: ignore[arg-type]
    practice = yaml.safe_load((job.work / "practice.yaml").read_text())
    lines = Path(practice["spec"]["dataset"]).read_text().splitlines()
    assert [json.loads(line)["inputs_pretokenized"] for line in lines] == ["one", "two", "三"]
    assert command.argv[command.argv.index("--model_type") + 1] == "Qwen3-14B"
    (job.output).mkdir()
    written = job.output / "Qwen3-14B_best_practice.yaml"
    written.write_text(f"dataset: {practice['spec']['dataset']}\n")
    tool.finish(job)
    assert written.read_text() == "dataset: calibration.jsonl\n"


class _Tool:
    python = Path("/usr/bin/python3")
    version = "26.1.0"
    python_version = "3.11.7"


def test_a_users_practice_is_run_as_it_is(tmp_path: Path) -> None:
    recipe = parse_practice("# mine\n" + V0, "old", "old.yaml")
    job = _job(tmp_path, recipe)
    ModelSlim().command(job, _Tool)  # type: ignore[arg-type]
    assert (job.work / "practice.yaml").read_text() == "# mine\n" + V0


LINE = "2026-11-24 17:45:10,854 - msmodelslim.core.runner.layer_wise_runner - INFO - "


@pytest.mark.parametrize(
    ("line", "progress"),
    [
        (
            f'{LINE}Run processor LinearQuantProcessor for "model.layers.3"',
            Progress("quantizing layers", 3, 36, "layers", "quantizing"),
        ),
        (
            f'{LINE}Run processor LoadProcessor(device=cpu) for "model.layers.0"',
            Progress("quantizing layers", 0, 36, "layers", "loading"),
        ),
        (f"{LINE}===========QUANTIZE MODEL===========", Progress("loading the model")),
        (f"{LINE}Start to handle dataset", Progress("preparing calibration")),
        ("  25%|##   | 8/32 [00:00<00:00, 86.96it/s]", Progress("calibrating", 8, 32, "steps")),
        (f"{LINE}Handle dataset success", None),
        ("Loading model.layers.1:   0%|          | 0/1 [00:00<?, ?it/s]", None),
        ("Loading : 100%|██████████| 1/1 [00:00<00:00, 349.41it/s]", None),
        (
            "\x1b[ALoading /m/model-00001-of-00163.safetensors:   0%|   | 0/15 [00:00<?, ?it/s]",
            None,
        ),
    ],
)
def test_progress_lines(line: str, progress: Progress | None) -> None:
    assert read_progress(line, 36) == progress


def test_warnings_that_matter() -> None:
    text = "These include patterns are not matched any module: ['*experts*']"
    assert "experts" in read_warning(f"2026-11-24 - msmodelslim - WARNING - {text}")
    other = "torch_npu module not available, skipping NPU cache cleanup"
    assert read_warning(f"2026-11-24 - msmodelslim - WARNING - {other}") == ""


def test_modelslims_own_words_for_what_is_not_known() -> None:
    log = "x\n[SecurityError] Code: 204, Message: It broke., TIP: Mend it\ny"
    found = own_words(log)
    assert found is not None
    assert (found.what, found.remedy) == ("It broke. (code 204)", "Mend it.")
    # An error that nobody catches is printed by `str()`, with the tip on a line of its own.
    log = "msmodelslim.utils.exception.SchemaValidateError: Code: 203, Message: No.\nTIP: Mend it"
    found = own_words(log)
    assert found is not None
    assert (found.what, found.remedy) == ("No. (code 203)", "Mend it.")
    assert own_words("nothing") is None
    assert all(failure.what and failure.remedy for failure in FAILURES)


def test_kinds_of_models() -> None:
    assert kind_of_model("qwen3_moe").adapter == "Qwen3-30B"
    assert kind_of_model("deepseek_v3").toolchain == "modelslim-4.48"
    assert kind_of_model("brand_new").adapter == "default"


def test_rules_of_steps_in_groups_come_in_order() -> None:
    rules = rules_of(load_recipe("w4a8-dynamic", "modelslim").body)
    expert = "model.layers.0.mlp.experts.7.up_proj"
    first = next(r for r in rules if r.include.match(expert) and not r.exclude.match(expert))
    assert first.scheme == "W4A8_DYNAMIC"


@pytest.fixture(autouse=True)
def _no_npu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASCEND_RT_VISIBLE_DEVICES", raising=False)


def _saved_by(folder: Path, kind: str) -> Checkpoint:
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind}))
    return open_checkpoint(folder)


def test_a_tokenizer_of_transformers_5_leads_to_the_right_toolchain(tmp_path: Path) -> None:
    dense = write_model(tmp_path / "dense")
    new, old = _saved_by(dense, "TokenizersBackend"), _saved_by(dense, "Qwen2TokenizerFast")
    assert ModelSlim().toolchain_for(old, Options()) == "modelslim"
    _saved_by(dense, "TokenizersBackend")
    assert ModelSlim().toolchain_for(new, Options()) == "modelslim-5.4"
    check_tokenizer(new, "modelslim-5.4")
    with pytest.raises(IncompatibleError, match="saved by transformers 5") as refused:
        check_tokenizer(new, "modelslim")
    assert "PreTrainedTokenizerFast" in refused.value.remedy
    # With transformers 5 ModelSlim leaves experts in floating point, and says SUCCESS.
    config = {**CONFIG, "num_experts": 8, "num_experts_per_tok": 2}
    experts = write_model(tmp_path / "moe", config=config)
    moe = _saved_by(experts, "TokenizersBackend")
    assert ModelSlim().toolchain_for(moe, Options()) == "modelslim"
    with pytest.raises(IncompatibleError, match="experts in floating point"):
        check_tokenizer(moe, "modelslim")


@pytest.mark.e2e
def test_recipes_that_fit_a_model(qreg: Run) -> None:
    shown = qreg("quantize", float_model("moe", USER), "--recipes", "--json")
    assert shown.code == 0, shown.err
    fits = {(row["tool"], row["recipe"]): row["fits"] for row in shown.json["recipes"]}
    assert fits["modelslim", "w8a8-moe-smooth"] and fits["llmcompressor", "w8a8-dynamic"]
    # Its practice for the real model skips 48 routers by name, and this one has two.
    assert fits["modelslim", "practice:qwen3-30b-a3b-w8a8"] is False
    assert ("modelslim", "practice:qwen3-32b-dense-w8a8") not in fits
    dense = qreg("quantize", float_model("dense", USER), "--recipes", "--json").json["recipes"]
    reasons = {row["recipe"]: row["reason"] for row in dense}
    assert "is for models with experts" in reasons["w8a8-moe-smooth"]
    assert {"practice:qwen3-32b-dense-w8a8", "practice:default-w8a16"} <= reasons.keys()
    everything = qreg("quantize", "--recipes", "--tool", "modelslim", "--quiet")
    assert everything.out.split() == sorted(everything.out.split())
    assert qreg("quantize", "--name", "a/b").code == 2
