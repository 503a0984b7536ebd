"""The guide's script through qreg: as its author meant, recorded whole, and the same again.

The script in `tests/checkouts` stands for the one that is not ours to copy. What qreg makes through
it is held against what it makes by hand, from its own folder, as the guide says to start it.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from quantizers.comparison import tensor_changes
from quantizers.llmcompressor import worker_env
from registry.checkpoint import open_checkpoint
from registry.config import Settings
from registry.progress import ignore
from registry.tracking.client import connect
from tests.checkouts import ANTI, CALIBRATION, content_of, make_checkout
from tests.conftest import USER, Run
from tests.quantized import TEXTS, float_model
from toolchains import find_toolchain

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("default")]


def by_hand(script: Path, output: Path, *arguments: str) -> Path:
    """Run a script as the guide does: from its own folder, with relative paths."""
    output.mkdir(mode=0o755)
    python = find_toolchain("modelslim", USER).python
    model = float_model("moe", USER)
    subprocess.run(
        [python, script.name, "--model_path", model, "--save_path", output, *arguments],
        cwd=script.parent,
        env={**worker_env(), "PATH": "/usr/bin:/bin", "HOME": str(output.parent)},
        check=True,
        capture_output=True,
    )
    return output


def same_tensors(made: Path, other: Path) -> int:
    """How many tensors two folders have, all of them alike."""
    alike, changed = tensor_changes(open_checkpoint(made), open_checkpoint(other), ignore)
    assert not changed, changed[:3]
    return alike


@pytest.fixture
def array(tmp_path: Path) -> Path:
    """The guide's shape of a set: one JSON array of texts, with characters of two bytes."""
    path = tmp_path / "calib 50.json"
    path.write_text(json.dumps([*TEXTS, "Größe zählt, π auch."], ensure_ascii=False, indent=2))
    return path


def test_word_for_word(qreg: Run, settings: Settings, tmp_path: Path, array: Path) -> None:
    """`--anti-dataset X.json --calibration Y.json -- --rot`, as in the guide."""
    script = make_checkout(tmp_path / "msmodelslim")
    anti = script.parents[1] / "common" / ANTI
    before = content_of(tmp_path / "msmodelslim")
    words = (
        *("quantize", float_model("moe", USER), "--tool", "modelslim", "--script", script),
        *("--device", "cpu", "--name", "test/moe", "--no-evaluate", "--json"),
    )
    ran = qreg(
        *(*words, "--anti-dataset", anti, "--calibration", array),
        *("--output", tmp_path / "q", "--", "--rot", "--batch_size", "2"),
    )
    assert ran.code == 0, ran.err + ran.out
    assert content_of(tmp_path / "msmodelslim") == before
    plain = tmp_path / "calib.json"
    plain.write_bytes(array.read_bytes())
    other = make_checkout(tmp_path / "other")
    hand = by_hand(
        *(other, tmp_path / "hand", "--rot", "--batch_size", "2"),
        *("--anti_dataset", str(anti), "--calib_dataset", str(plain)),
    )
    assert (other.parent / "rotated.txt").is_file()  # by hand it is left there
    assert same_tensors(tmp_path / "q", hand) > 100

    provenance = json.loads((tmp_path / "q" / "qreg.json").read_text())["provenance"]
    commit = subprocess.check_output(
        ["git", "rev-parse", "HEAD"], cwd=script.parent, text=True
    ).strip()
    assert provenance["checkout"] == {"commit": commit, "changed": False}
    assert provenance["calibration"]["file"] == array.name
    assert provenance["calibration"]["lines"] == len(TEXTS) + 1
    assert provenance["anti_dataset"]["file"] == ANTI
    assert provenance["recipe"]["text"] == script.read_text()
    run = connect(settings).get_run(ran.json["mlflow_run"])
    named = {i.dataset.name: i.dataset.digest for i in run.inputs.dataset_inputs}
    for use in ("calibration", "anti_dataset"):
        digest = provenance[use]["digest"].removeprefix("sha256:")
        assert digest.startswith(named[provenance[use]["file"]])

    arguments = ("--rot", "--batch_size", "2")
    again = qreg(*("reproduce", tmp_path / "q", "--script", script, "--json", "--", *arguments))
    assert again.code == 0 and again.json["identical"], again.err
    array.write_text(array.read_text().replace("Water", "Wine"))
    changed = qreg("reproduce", tmp_path / "q", "--script", script, "--json", "--", *arguments)
    assert changed.code == 2 and "has changed since" in changed.error["message"]


def test_sets_after_the_dashes_and_in_other_shapes(qreg: Run, tmp_path: Path) -> None:
    """JSON Lines for a script that reads arrays; relative paths count from where the user is."""
    script = make_checkout(tmp_path / "msmodelslim")
    lines = tmp_path / "texts.jsonl"
    lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    ran = qreg(
        *("quantize", float_model("moe", USER), "--tool", "modelslim", "--script", script),
        *("--name", "test/moe", "--no-evaluate", "--json", "--output", tmp_path / "q"),
        *("--", "--calib_dataset", "texts.jsonl", f"--anti_dataset=../common/{ANTI}"),
    )
    assert ran.code == 0, ran.err + ran.out
    # The set of texts is the script's own one in another shape.
    hand = by_hand(make_checkout(tmp_path / "other"), tmp_path / "hand")
    assert same_tensors(tmp_path / "q", hand) > 100
    provenance = json.loads((tmp_path / "q" / "qreg.json").read_text())["provenance"]
    assert provenance["calibration"]["digest"] and provenance["calibration"]["lines"] == len(TEXTS)
    assert provenance["anti_dataset"]["file"] == ANTI
    assert "arguments" not in provenance["options"]


def test_the_scripts_own_sets(qreg: Run, tmp_path: Path) -> None:
    """Defaults such as `../common/….json` are found, recorded, and told where they change."""
    script = make_checkout(tmp_path / "msmodelslim")
    words = (
        *("quantize", float_model("moe", USER), "--tool", "modelslim", "--script", script),
        *("--name", "test/moe", "--no-evaluate", "--json"),
    )
    ran = qreg(*words, "--output", tmp_path / "q")
    assert ran.code == 0, ran.err + ran.out
    assert "left out chat_template.jinja" in ran.err
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "q").iterdir()} == {0o644}
    manifest = json.loads((tmp_path / "q" / "qreg.json").read_text())
    schemes = manifest["quantization"]["schemes"]
    assert schemes["attention"] == {"W8A8": 8}
    assert schemes["moe"] == {"W8A8_DYNAMIC": 2 * 8 * 3} and schemes["router"] == {"FLOAT": 2}
    hand = by_hand(make_checkout(tmp_path / "other"), tmp_path / "hand")
    assert same_tensors(tmp_path / "q", hand) > 100
    brought = manifest["provenance"]["calibration"]
    assert (brought["file"], brought["origin"]) == (CALIBRATION, "comes with the script")
    own = script.parents[1] / "common" / CALIBRATION
    own.write_text(own.read_text().replace("Water", "Wine"))
    changed = qreg("reproduce", tmp_path / "q", "--script", script, "--json")
    assert changed.code == 5 and "The script's own set" in changed.error["message"]
    assert manifest["provenance"]["checkout"]["commit"] in changed.error["remedy"]
    own.unlink()
    missing = qreg(*words, "--output", tmp_path / "r")
    assert missing.code == 3 and CALIBRATION in missing.error["message"]


def test_the_recipe_makes_what_the_script_makes(qreg: Run, tmp_path: Path, array: Path) -> None:
    """Smoothing included; sample by sample, as ModelSlim's command takes sets."""
    script = make_checkout(tmp_path / "msmodelslim")
    words = ("--anti-dataset", script.parents[1] / "common" / ANTI, "--calibration", array)
    ran = qreg(
        *("quantize", float_model("moe", USER), "--tool", "modelslim"),
        *("--recipe", "w8a8-moe-smooth", "--device", "cpu", *words),
        *("--name", "test/moe", "--no-evaluate", "--json", "--output", tmp_path / "q"),
    )
    assert ran.code == 0, ran.err + ran.out
    plain = tmp_path / "calib.json"
    plain.write_bytes(array.read_bytes())
    hand = by_hand(script, tmp_path / "hand", "--batch_size", "1", "--calib_dataset", str(plain))
    assert same_tensors(tmp_path / "q", hand) > 100


def test_what_is_rejected_is_kept_and_said(qreg: Run, tmp_path: Path) -> None:
    script = make_checkout(tmp_path / "msmodelslim")
    text = script.read_text()
    leaving_out = re.sub(r"disabled = \[.*\]", 'disabled = ["lm_head"]', text).replace(
        "disable_names=disabled",
        "disable_names=[n for n, m in model.named_modules() "
        "if '.mlp.' in n and isinstance(m, torch.nn.Linear)]",
    )
    script.write_text(leaving_out)
    words = (
        *("quantize", float_model("moe", USER), "--tool", "modelslim", "--script", script),
        *("--name", "test/moe", "--no-evaluate", "--json", "--output", tmp_path / "q"),
    )
    ran = qreg(*words)
    assert ran.code == 8 and "left 48 layers" in ran.error["message"]
    assert not (tmp_path / "q").exists()
    assert (tmp_path / "q.rejected" / "quant_model_description.json").is_file()
    assert str(tmp_path / "q.rejected") in ran.err
