"""An artifact of ModelSlim on a machine without an NPU: published, pulled, converted, served."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serving.identity import free_port
from tests.conftest import USER, Run
from tests.quantized import quantized

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("default")]
NAME = "demo/Qwen3-tiny-W8A8"


def test_modelslim_weights_answer_on_a_cpu(qreg: Run, tmp_path: Path) -> None:
    source = quantized("modelslim-v1-w8a8-dynamic", USER)
    # Pulled files have sane modes; ModelSlim's are readable by their owner alone.
    published = qreg("publish", source, "--name", NAME, "--json").json
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
