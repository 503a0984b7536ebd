"""An artifact of ModelSlim on a machine without an NPU: published, pulled, converted, served."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from quantizers.comparison import tensor_changes
from registry.checkpoint import open_checkpoint
from registry.progress import ignore
from serving.identity import free_port
from tests.conftest import Run

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("default")]
NAME = "demo/Qwen3-demo-W8A8"


def test_the_demo_model_of_modelslim_answers_on_a_cpu(
    qreg: Run, tmp_path: Path, built: Callable[[str], Path]
) -> None:
    base, source = built("DEMO"), tmp_path / "slim"
    recipe = ("--tool", "modelslim", "--recipe", "w8a8-dynamic", "--device", "cpu")
    made = qreg(
        "quantize", base, *recipe, "--no-evaluate", "--name", NAME, "--output", source, "--json"
    )
    assert made.code == 0, made.err
    published = qreg("publish", source, "--json").json
    pulled = qreg("pull", NAME, "--output", tmp_path / "pulled", "--json").json
    assert pulled["digest"] == published["digest"]
    name, folder = f"{NAME}-CT", tmp_path / "ct"
    arguments = ("--format", "compressed-tensors", "--name", name, "--output", folder, "--json")
    converted = qreg("convert", tmp_path / "pulled", *arguments).json
    assert converted["derived_from"]["digest"] == published["digest"]
    assert qreg("publish", folder, "--json").json["digest"] == converted["digest"]
    wishes = ("--smoke-only", "--port", free_port(), "--json", "--", "--max-model-len", "256")
    served = qreg("serve", name, *wishes)
    assert served.code == 0, served.err
    said = json.loads(served.out)
    assert said["digest"] == converted["digest"] and said["smoke"]["answer"].strip()

    back = tmp_path / "back"
    arguments = ("--format", "modelslim", "--name", f"{NAME}-back", "--output", back, "--json")
    assert qreg("convert", folder, *arguments).code == 0
    alike, changes = tensor_changes(open_checkpoint(source), open_checkpoint(back), ignore)
    assert alike and not changes, changes

    other, report = tmp_path / "other", tmp_path / "quality.html"
    ran = qreg("quantize", base, "--no-evaluate", "--name", f"{NAME}-LC", "--output", other)
    assert ran.code == 0, ran.err
    beside = ("--base", base, "--against", other, "--html", report, "--json")
    measured = qreg("quality", source, *beside)
    assert measured.code == 0, measured.err
    answers = measured.json["functional"]["answers"]
    assert answers and all(
        set(row["continuations"]) == {"float", "quantized", "other"} for row in answers
    )
    # Both tools round alike. Words are no measure of that: after one near tie they part.
    for figures in (measured.json["functional"], measured.json["against"]):
        assert 0 < figures["divergence"] < 0.01 and 0.9 < figures["agreement"] <= 1, figures
    assert "Greedy answers" in report.read_text()
