"""serve --convert: what ModelSlim made, answered by vLLM on the CPU."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from tests.conftest import USER, Run
from tests.quantized import quantized
from tests.twins import write_twin


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_modelslims_artifact_is_converted_once_and_answers(qreg: Run, tmp_path: Path) -> None:
    folder = quantized("modelslim-v1-w8a8-dynamic", USER)
    words = ("serve", folder, "--engine", "vllm-cpu", "--port", _free_port(), "--smoke-only")
    refused = qreg(*words)
    assert refused.code == 6 and "qreg convert" in refused.err
    ran = qreg(*words, "--convert", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["smoke"]["answer"].strip()
    (copy,) = (tmp_path / "cache" / "converted").iterdir()
    manifest = json.loads((copy / "qreg.json").read_text())
    assert manifest["quantization"]["method"] == "compressed-tensors"
    before = (copy / "qreg.json").stat()
    # Another launch takes the copy; this one ends before the engine, at a port that is taken.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        again = qreg("serve", folder, "--engine", "vllm-cpu", "--convert", "--port", port)
    assert again.code == 2 and "was converted to compressed-tensors before" in again.err
    assert (copy / "qreg.json").stat() == before


def test_nothing_is_converted_where_that_would_not_help(qreg: Run, tmp_path: Path) -> None:
    """Quantized experts have no kernel on CPUs, in whichever format."""
    model = tmp_path / "org" / "Qwen3-30B-A3B"
    write_twin(model, "Qwen3-30B-A3B", "W8A8")
    ran = qreg("serve", model, "--engine", "vllm-cpu", "--convert")
    assert ran.code == 6 and "converted" not in ran.err.lower()
    assert not (tmp_path / "cache" / "converted").exists()
