"""Scripts of ModelSlim's repository: what their source says, what is refused before they run."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from quantizers.calibration import check_samples, find_calibration
from quantizers.interface import Job, Options
from quantizers.modelslim import ModelSlim
from quantizers.modelslim.calibration import write_calibration
from quantizers.modelslim.checkout import state_of, working_folder
from quantizers.modelslim.devices import read_device
from quantizers.modelslim.script_sets import own_set, split_sets
from quantizers.modelslim.script_source import ScriptSource, read_source
from quantizers.modelslim.scripts import (
    check_arguments,
    check_script,
    script_arguments,
    script_recipe,
)
from quantizers.recipe import Recipe
from quantizers.samples import ARRAY, LINES
from registry.checkpoint import open_checkpoint
from registry.errors import IncompatibleError, NotFoundError, UsageError
from tests.checkouts import ANTI, CALIBRATION, EXAMPLE, content_of, make_checkout
from tests.checkpoints import write_model

GUIDE = read_source((EXAMPLE / "Qwen3-MOE" / "quant_qwen_moe_w8a8.py").read_text())
TAKING = "p.add_argument('--model_path'); p.add_argument('--save_path')\n"


def _job(tmp_path: Path, recipe: Recipe, options: Options) -> Job:
    source = write_model(tmp_path / "m")
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    checkpoint = open_checkpoint(source)
    return Job(source, tmp_path / "out", recipe, None, work, checkpoint, options=options)


def test_what_the_guides_script_says() -> None:
    assert GUIDE.option("--calib_file", "--calib_dataset") == "--calib_dataset"
    assert GUIDE.default("--anti_dataset") == f"../common/{ANTI}"
    assert GUIDE.shape("--calib_dataset") == GUIDE.shape("--anti_dataset") == ARRAY
    assert {"--rot", "--mindie_format"} <= GUIDE.switches
    assert "--trust_remote_code" not in GUIDE.switches
    assert GUIDE.npu == ""


@pytest.mark.parametrize(
    ("lines", "shape"),
    [
        # example/DeepSeek: `json.load` and a default of that suffix.
        ("p.add_argument('--calib_dataset', default='../common/d.json')", ARRAY),
        # example/Qwen: JSON Lines, and a path that is checked by its suffix.
        ("p.add_argument('--calib_dataset', default='../common/t.jsonl')", LINES),
        ("p.add_argument('--calib_dataset')\nread(args.calib_dataset, 'jsonl')", LINES),
        (
            "p.add_argument('--calib_dataset')\nread(args.calib_dataset, 'json', is_dir=False)",
            ARRAY,
        ),
        ("p.add_argument('--calib_dataset')\nvalue = json.load(file)", ARRAY),
        ("p.add_argument('--calib_dataset')\nx = [json.loads(line) for line in file]", LINES),
        ("p.add_argument('--calib_dataset', dest='d')\nread(args.d, ('.json', '.jsonl'))", ARRAY),
        ("p.add_argument('--calib_dataset')\nd = args.calib_dataset\nread(d, '.json')", ARRAY),
        ("p.add_argument('--calib_dataset')\nread(args.calib_dataset, extensions='jsonl')", LINES),
        # Both ways, or none: the user's file stays as it is.
        ("p.add_argument('--calib_dataset')\njson.load(f)\njson.loads(args.tokenizer)", ""),
        ("p.add_argument('--calib_dataset')\ntorch.load(f)", ""),
    ],
)
def test_which_shape_a_script_reads(lines: str, shape: str) -> None:
    assert read_source(TAKING + lines).shape("--calib_dataset") == shape


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("import torch\nimport torch_npu\n", "line 2"),
        ("from torch_npu.contrib import transfer_to_npu\n", "line 1"),
        ("c = QuantConfig(w_bit=8,\n  dev_type='npu')\n", "line 2"),
        ("try:\n    import torch_npu\nexcept ImportError:\n    pass\n", ""),
        ("if npu:\n    import torch_npu\n", ""),
        ("if __name__ == '__main__':\n    import torch_npu\n", "line 2"),
        ("def main():\n    torch.npu.set_compile_mode(jit_compile=False)\n", "line 2"),
        ("D = 'npu'\nc = QuantConfig(dev_type=D)\n", "line 2"),
        ("if d:\n    c = QuantConfig(dev_type='npu')\nelse:\n    c = 1\n", ""),
        ("p.add_argument('--device_type', default='npu', help='npu or cpu')\n", ""),
        ("c = QuantConfig(dev_type=args.device_type)\n", ""),
    ],
)
def test_scripts_that_need_an_npu(text: str, line: str) -> None:
    found = read_source(text).npu
    assert found.endswith(line) if line else found == ""


def test_a_script_for_npus_is_refused_with_the_recipe_that_comes_closest(tmp_path: Path) -> None:
    script = tmp_path / "quant_qwen_moe_w8a8.py"
    script.write_text("import torch_npu\n" + TAKING)
    recipe = script_recipe(script)
    for experts, near in ((True, "w8a8-moe-smooth"), (False, "w8a8-smooth")):
        with pytest.raises(IncompatibleError, match="imports torch_npu, line 1") as refused:
            check_script(recipe, read_device("cpu"), experts=experts)
        assert f"--recipe {near} " in refused.value.remedy
    check_script(recipe, read_device("npu:0,1"), experts=True)
    # On a machine without one, `--device npu` gets no other answer.
    checkpoint = open_checkpoint(write_model(tmp_path / "m"))
    with pytest.raises(IncompatibleError, match="imports torch_npu"):
        ModelSlim().check(checkpoint, recipe, Options("npu:0,1", script=script))


def test_arguments_of_the_guides_script(tmp_path: Path) -> None:
    path = make_checkout(tmp_path / "repository")
    options = Options("npu:0,1", trust_remote_code=True, script=path, arguments=("--rot",))
    job = _job(tmp_path, script_recipe(path), options)
    sets = {"calibration": Path("/c.json"), "anti_dataset": Path("/a.json")}
    assert script_arguments(job, job.source, sets, read_device("npu:0,1")) == [
        *(str(path), "--model_path", str(job.source), "--save_path", str(job.output)),
        *("--calib_dataset", "/c.json", "--anti_dataset", "/a.json"),
        *("--trust_remote_code", "True", "--rot"),
    ]


def test_arguments_that_are_qregs(tmp_path: Path) -> None:
    path = tmp_path / "quant.py"
    with pytest.raises(NotFoundError, match="no script"):
        script_recipe(path)
    path.write_text("print()")
    with pytest.raises(UsageError, match="takes no --model_path"):
        script_recipe(path)
    path.write_text(TAKING)
    recipe, device = script_recipe(path), read_device("cpu")
    # argparse takes any beginning of an option that only one has.
    for word in ("--save_path=/x", "--save_p=/x", "--save", "--model_path"):
        job = _job(tmp_path, recipe, Options(arguments=(word,)))
        with pytest.raises(UsageError, match="set by qreg"):
            script_arguments(job, job.source, {}, device)
    job = _job(tmp_path, recipe, Options())
    with pytest.raises(UsageError, match="no option for --calibration"):
        script_arguments(job, job.source, {"calibration": Path("/c")}, device)
    path.write_text(TAKING + "p.add_argument('--trust_remote_code', action='store_true')")
    job = _job(tmp_path, script_recipe(path), Options(trust_remote_code=True))
    assert script_arguments(job, job.source, {}, device)[-1] == "--trust_remote_code"


@pytest.mark.parametrize(
    "words",
    [
        ("--calib_dataset", "set.json", "--rot"),
        ("--rot", "--calib_dataset=set.json"),
        ("--calib", "set.json", "--rot"),
    ],
)
def test_sets_among_the_arguments(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set.json").write_text('["a text"]')
    sets, rest = split_sets(GUIDE, words, tmp_path / "elsewhere")
    assert (sets, rest) == ({"calibration": tmp_path / "set.json"}, ("--rot",))


def test_every_named_set_is_the_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a run would be recorded with the script's own set, or with the first of two."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "images.json").write_text('[{"image": "a.png", "question": "What?"}]')
    (tmp_path / "scales.bin").write_bytes(b"\xff\xfe")
    words = ("--calib_dataset", "images.json", "--anti_dataset=./folder", "--scales", "scales.bin")
    sets, rest = split_sets(GUIDE, (*words, "--alpha", "0.5", "name"), tmp_path)
    assert sets == {"calibration": tmp_path / "images.json", "anti_dataset": tmp_path / "folder"}
    assert rest == ("--scales", f"{tmp_path}/scales.bin", "--alpha", "0.5", "name")
    for wrong in (("--calib_dataset",), ("--calib_dataset", "no.json"), ("--anti_dataset=",)):
        with pytest.raises(NotFoundError, match="is not there"):
            split_sets(GUIDE, wrong, tmp_path)
    twice = ("--calib_dataset", "images.json", "--calib=images.json")
    with pytest.raises(UsageError, match="Two sets are named"):
        split_sets(GUIDE, twice, tmp_path)


def test_a_set_that_holds_no_texts_is_handed_on_as_it_is(tmp_path: Path) -> None:
    path = make_checkout(tmp_path / "repository")
    images = tmp_path / "images.json"
    images.write_text('[{"image": "a.png"}]')
    recipe, tool = script_recipe(path), ModelSlim()
    options = Options(script=path, arguments=("--calib_dataset", str(images)))
    sets, options = tool.settle(recipe, options)
    assert (sets, options.untouched) == ({"calibration": images}, ("calibration",))
    found = find_calibration(recipe, images, untouched=True)
    assert found is not None and found.lines is None and found.digest.startswith("sha256:")
    job = replace(_job(tmp_path, recipe, options), calibration=images)
    argv = list(tool.command(job, _Tool).argv)  # type: ignore[arg-type]
    assert argv[argv.index("--calib_dataset") + 1] == str(images)


class _Tool:
    python = Path("/usr/bin/python3")
    version = "26.1.0"
    python_version = "3.11.7"


@pytest.mark.parametrize(
    "default",
    [
        '"../common/x.json"',
        'os.path.join("..", "common", "x.json")',
        'f"../common/{NAME}.json"',
        '"../common/" + NAME + ".json"',
        "os.path.join(FOLDER, 'x.json')",
        "os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'common', 'x.json')",
    ],
)
def test_defaults_that_are_put_together(default: str, tmp_path: Path) -> None:
    folder = tmp_path / "example" / "Qwen"
    (tmp_path / "example" / "common").mkdir(parents=True)
    folder.mkdir()
    (tmp_path / "example" / "common" / "x.json").write_text('["a"]')
    text = f"NAME = 'x'\nFOLDER = '../common'\np.add_argument('--calib_file', default={default})"
    source = read_source(TAKING + text, str(folder / "quant.py"))
    found = own_set(source, "calibration", folder)
    assert found is not None and (found.name, found.lines) == ("x.json", 1)
    assert source.shape("--calib_file") == ARRAY
    there = working_folder(folder / "quant.py", source.relative_paths(folder), tmp_path / "work")
    assert (there / source.default("--calib_file")).is_file()


def test_results_that_could_not_pass_are_told_before(tmp_path: Path) -> None:
    recipe = script_recipe(make_checkout(tmp_path / "repository"))
    with pytest.raises(UsageError, match="MindIE"):
        check_arguments(recipe, ("--mindie",), 2)
    assert "will not pass" in check_arguments(recipe, ("--layer_count", "1"), 2)
    assert check_arguments(recipe, ("--layer_count=2", "--rot"), 2) == ""


def test_scripts_of_any_name(tmp_path: Path) -> None:
    path = tmp_path / "quant ä.py"
    path.write_text("\ufeff" + TAKING, encoding="utf-8")
    assert script_recipe(path).name == "quant--"


def test_a_scripts_own_sets(tmp_path: Path) -> None:
    folder = make_checkout(tmp_path / "repository").parent
    found = own_set(GUIDE, "calibration", folder)
    assert found is not None and found.origin == "the script"
    assert (found.name, found.lines) == (CALIBRATION, 8)
    (folder.parent / "common" / ANTI).unlink()
    with pytest.raises(NotFoundError, match=ANTI) as missing:
        own_set(GUIDE, "anti_dataset", folder)
    assert "--anti-dataset FILE" in missing.value.remedy
    assert own_set(ScriptSource(), "calibration", folder) is None


def test_a_script_runs_in_a_folder_of_the_job(tmp_path: Path) -> None:
    script = make_checkout(tmp_path / "my repository")
    before = content_of(tmp_path / "my repository")
    work = tmp_path / "work"
    words = GUIDE.relative_paths(script.parent)
    folder = working_folder(script, [*words, "../../../../../etc/passwd", "no.json"], work)
    assert folder.is_relative_to(work) and " " not in str(folder.relative_to(work))
    assert json.loads((folder / "../common" / CALIBRATION).read_text())
    (folder / "kernel_meta").mkdir()
    (folder / "../common" / ANTI).write_text("other")
    assert content_of(tmp_path / "my repository") == before
    assert not [path for path in work.rglob("*") if path.name in ("passwd", "no.json")]


def test_the_state_of_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = make_checkout(tmp_path / "repository")
    before = content_of(tmp_path / "repository")
    state = state_of(script)
    assert len(str(state["commit"])) == 40 and state["changed"] is False
    assert content_of(tmp_path / "repository") == before  # git writes no index, either
    script.write_text(script.read_text() + "\n")
    assert state_of(script)["changed"] is True
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "another"))
    link = tmp_path / "link.py"
    link.symlink_to(script)
    assert state_of(link)["commit"] == state["commit"]
    copy = script.with_name("copy.py")  # not of the repository, though in it
    copy.write_text("")
    alone = tmp_path / "alone.py"
    alone.write_text("")
    assert state_of(copy) == state_of(alone) == {}
    if os.geteuid() == 0:
        for path in (tmp_path / "repository", tmp_path / "repository" / ".git"):
            os.chown(path, 4711, 4711)  # as a host's folder in a container
    assert state_of(script)["commit"] == state["commit"]


@pytest.mark.parametrize("content", ['["ä", "b"]', '[{"text": "ä"}, "b"]', '"ä"\n\n"b"\n',
    '{"text": "ä"}\n{"inputs_pretokenized": "b"}',
    '\ufeff[\n "ä",\n "b"\n]'])  # fmt: skip
def test_sets_of_any_shape_become_what_is_read(content: str, tmp_path: Path) -> None:
    source = tmp_path / "set"
    source.write_text(content, encoding="utf-8")
    write_calibration(source, tmp_path / "a.json", ARRAY)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == ["ä", "b"]
    write_calibration(source, tmp_path / "l.jsonl", LINES)
    lines = (tmp_path / "l.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["inputs_pretokenized"] for line in lines] == ["ä", "b"]


def test_a_set_in_the_shape_that_is_read_keeps_its_bytes(tmp_path: Path) -> None:
    for shape, content in (
        (ARRAY, b'[ "a",\n\n  "b" ]'),
        (LINES, b'{"id":1,"inputs_pretokenized":"a"}'),
    ):
        source, target = tmp_path / f"s-{shape}", tmp_path / f"t-{shape}"
        source.write_bytes(content)
        write_calibration(source, target, shape)
        assert target.read_bytes() == content


def test_lone_surrogates_and_empty_texts(tmp_path: Path) -> None:
    source = tmp_path / "s.jsonl"
    source.write_text('"\\ud800"\n""\n"a"\n')
    with pytest.raises(UsageError, match="holds no text"):
        check_samples(source)
    assert check_samples(source, blank=True) == 3
    write_calibration(source, tmp_path / "t.json", ARRAY)
    assert json.loads((tmp_path / "t.json").read_text()) == ["\ud800", "", "a"]
    assert (tmp_path / "t.json").stat().st_mode & 0o777 == 0o640
