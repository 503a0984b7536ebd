"""Both quantizers as their users run them: made, reproduced, adopted, and caught when they lie."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import quantizers.quality.after
from quantizers.comparison import tensor_changes
from quantizers.request import QuantizationRequest
from quantizers.run import quantize
from registry.checkpoint import open_checkpoint
from registry.config import Settings
from registry.progress import Event, Note, ignore
from registry.tracking.client import connect
from tests.conftest import USER, Run
from tests.quantized import TEXTS, float_model, quantized
from toolchains import find_toolchain

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("default")]


@pytest.fixture
def calibration(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return path


def test_modelslim_static_w8a8_and_the_same_again(
    qreg: Run, settings: Settings, tmp_path: Path, calibration: Path
) -> None:
    ran = qreg(
        *("quantize", float_model("dense", USER), "--tool", "modelslim", "--recipe", "w8a8"),
        *("--device", "cpu", "--calibration", calibration, "--target", "A2"),
        *("--name", "test/dense", "--output", tmp_path / "q", "--json"),
    )
    assert ran.code == 0, ran.err
    events = [json.loads(line) for line in ran.err.splitlines() if line.startswith("{")]
    assert any(e.get("stage") == "quantizing layers" and e.get("total") == 2 for e in events)
    manifest = json.loads((tmp_path / "q" / "qreg.json").read_text())
    assert manifest["quantization"]["schemes"]["attention"] == {"W8A8": 8}
    provenance = manifest["provenance"]
    assert provenance["calibration"]["lines"] == len(TEXTS)
    assert provenance["options"] == {"device": "cpu", "target": "A2"}
    assert provenance["toolchain"]["versions"]["msmodelslim"]
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "q").iterdir()} == {0o644}
    run = connect(settings).get_run(ran.json["mlflow_run"])
    assert run.info.status == "FINISHED"
    assert run.data.params["calibration_digest"] == provenance["calibration"]["digest"]

    again = qreg("reproduce", tmp_path / "q", "--json")  # the set is where it was
    assert again.code == 0, again.err
    assert again.json["identical"] and again.json["new"] == str(manifest["digest"])
    assert again.json["files_changed"] == [] and again.json["folder"] is None
    calibration.rename(tmp_path / "moved.jsonl")
    gone = qreg("reproduce", tmp_path / "q", "--json")
    assert gone.code == 2 and "--calibration" in gone.error["remedy"]
    assert f"{calibration} is not there any more" in gone.error["message"]
    calibration.write_text('{"text": "another one"}\n')
    assert "has changed since" in qreg("reproduce", tmp_path / "q", "--json").error["message"]
    given = ("reproduce", tmp_path / "q", "--calibration", tmp_path / "moved.jsonl", "--json")
    moved = qreg(*given)
    assert moved.code == 0 and moved.json["identical"], moved.err


def test_a_data_free_run_of_llmcompressor_and_the_same_again(
    qreg: Run, settings: Settings, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(float_model("dense", USER), source)
    ran = qreg(
        *("quantize", "source", "--name", "test/free", "--output", tmp_path / "q"),
        *("--no-evaluate", "--json"),
    )
    assert ran.code == 0, ran.err
    manifest = json.loads((tmp_path / "q" / "qreg.json").read_text())
    # Where things are on this machine is not published, and found again all the same.
    assert str(tmp_path) not in json.dumps(manifest["provenance"])
    assert manifest["provenance"]["base"]["reference"] is None
    assert qreg("publish", tmp_path / "q").code == 0
    again = qreg("reproduce", "test/free", "--json")
    assert again.code == 0, again.out + again.err
    assert again.json["identical"] and again.json["new"] == ran.json["digest"]
    run = connect(settings).get_run(again.json["mlflow_run"])
    assert run.data.tags["qreg.reproduced"] == "identical"
    known = qreg("adopt", tmp_path / "q", "--base", source, "--name", "test/mine", "--json")
    assert known.code == 6 and "was made by qreg" in known.error["message"]
    to = ("--format", "modelslim", "--name", "test/converted", "--output", tmp_path / "converted")
    assert qreg("convert", tmp_path / "q", *to).code == 0
    converted = qreg("reproduce", tmp_path / "converted", "--json")
    assert converted.code == 6 and "made from test/free" in converted.error["message"]
    shutil.copytree(tmp_path / "q", tmp_path / "altered")
    (tmp_path / "altered" / "generation_config.json").write_text("{}")
    altered = qreg("reproduce", tmp_path / "altered", "--json")
    assert altered.code == 5 and "generation_config.json" in altered.error["message"]
    (source / "generation_config.json").write_text("{}")
    changed = qreg("reproduce", "test/free", "--json")
    assert changed.code == 5
    assert "is not the float model that is recorded" in changed.error["message"]


def test_stopping_the_measuring_keeps_what_was_made(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(quantizers.quality.after, "measure_perplexity", stopped)
    here = replace(settings, toolchains=USER.toolchains)
    request = QuantizationRequest(
        str(float_model("dense", USER)), name="test/kept", output=tmp_path / "q"
    )
    events: list[Event] = []
    made = quantize(request, here, events.append)
    assert made.perplexity is None and (tmp_path / "q" / "qreg.json").is_file()
    assert any(isinstance(e, Note) and "what was made is kept" in e.text for e in events)


def _modelslim_with_transformers_5(folder: Path) -> Path:
    """ModelSlim beside the transformers of LLM-Compressor's toolchain, as a careless user has."""
    slim, other = find_toolchain("modelslim", USER), find_toolchain("llmcompressor", USER)
    subprocess.run([slim.python, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    (target,) = (folder / "venv").glob("lib/python3*/site-packages")
    (theirs,) = other.python.parent.parent.glob("lib/python3*/site-packages")
    (ours,) = slim.python.parent.parent.glob("lib/python3*/site-packages")
    for name in ("transformers", "huggingface_hub", "tokenizers", "httpx", "httpcore", "h11"):
        for found in (theirs / name, *theirs.glob(f"{name}-*.dist-info")):
            if found.exists():
                (target / found.name).symlink_to(found)
    # What those need and neither brings under these names.
    (target / "rest.pth").write_text(f"{ours}\n{theirs}\n")
    return folder / "venv" / "bin" / "python"


def test_modelslim_that_leaves_experts_float_is_caught(
    qreg: Run, settings: Settings, tmp_path: Path
) -> None:
    """Exit code 0 and SUCCESS, and not one expert is quantized."""
    python = _modelslim_with_transformers_5(tmp_path)
    env = {"QREG_TOOLCHAINS": str(tmp_path / "toolchains")}
    used = qreg("toolchain", "use", "modelslim", "--python", python, env=env)
    assert used.code == 0, used.err
    ran = qreg(
        *("quantize", float_model("moe", USER), "--tool", "modelslim", "--device", "cpu"),
        *("--name", "test/moe", "--output", tmp_path / "q", "--json"),
        env=env,
    )
    assert ran.code == 8, ran.err
    assert "ended with exit code 0, but left 48 layers" in ran.error["message"]
    assert "model.layers.0.mlp.experts.0.down_proj" in ran.error["details"]
    assert "does not see the experts" in ran.error["remedy"]
    assert "--toolchain" in ran.error["remedy"]
    assert not (tmp_path / "q").exists()
    (log,) = settings.logs.glob("quantize-*.log")
    assert "SUCCESS" in log.read_text()
    client = connect(settings)
    (experiment,) = (e for e in client.search_experiments() if "moe" in e.name)
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"


def test_a_shipped_practice_that_this_model_cannot_take(qreg: Run, tmp_path: Path) -> None:
    source = float_model("moe", USER)
    options = ("--tool", "modelslim", "--device", "cpu", "--name", "t/x", "--json")
    ran = qreg("quantize", source, "--recipe", "practice:qwen3-30b-a3b-w8a8", *options)
    assert ran.code == 6
    assert "model.layers.2.mlp.gate and 45 more" in ran.error["message"]
    unknown = qreg("quantize", source, "--recipe", "practice:nope", *options)
    assert unknown.code == 3 and "qwen3-235B-w4a8-v1" in unknown.error["remedy"]


def test_adopting_what_was_made_elsewhere(qreg: Run, settings: Settings, tmp_path: Path) -> None:
    folder = quantized("modelslim-v1-moe-w8a8", USER)
    before = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    log = tmp_path / "modelslim.log"
    log.write_text("once upon a time")
    ran = qreg(
        *("adopt", folder, "--base", float_model("moe", USER), "--name", "test/adopted"),
        *("--tool-version", "26.1.0", "--log", log, "--json"),
    )
    assert ran.code == 0, ran.err
    assert ran.json["claimed"] == ["tool.version", "log"]
    assert ran.json["measured"]["quantized_layers"] == 2 * (4 + 8 * 3)
    assert ran.json["measured"]["unchanged_tensors"] == ran.json["measured"]["float_tensors"]
    assert 35 < ran.json["quality"]["sqnr_db_worst"] <= ran.json["quality"]["sqnr_db"] < 50
    assert {p.name: p.stat().st_mtime_ns for p in folder.iterdir()} == before
    assert qreg("verify", "test/adopted").code == 0
    provenance = qreg("inspect", "test/adopted", "--json").json["provenance"]
    assert provenance["tool"] == {"name": "modelslim", "version": "26.1.0"}
    assert "linear_quant" in provenance["recipe"]["text"]
    run = connect(settings).get_run(ran.json["mlflow_run"])
    assert run.data.tags["qreg.digest"] == ran.json["digest"]
    assert run.data.metrics["weights/sqnr_db"] == ran.json["quality"]["sqnr_db"]
    refused = qreg("reproduce", "test/adopted", "--json")
    assert refused.code == 6 and "only claimed" in refused.error["message"]
    other = qreg("adopt", folder, "--base", float_model("dense", USER), "--name", "t/o", "--json")
    assert other.code == 6 and "cannot come from" in other.error["message"]


def test_a_base_of_the_same_shape_proves_nothing(qreg: Run, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(float_model("dense", USER), folder)
    for shard in folder.glob("*.safetensors"):
        content = bytearray(shard.read_bytes())
        begin = 8 + int.from_bytes(content[:8], "little")
        for name, entry in json.loads(content[8:begin]).items():
            if name != "__metadata__" and len(entry["shape"]) == 2:
                where = slice(*(begin + offset for offset in entry["data_offsets"]))
                weights = np.frombuffer(bytes(content[where]), np.uint16)
                content[where] = np.roll(weights, len(weights) // 2).tobytes()
        shard.write_bytes(content)
    made = quantized("modelslim-v1-w8a8-dynamic", USER)
    ran = qreg("adopt", made, "--base", folder, "--name", "test/strange", "--json")
    assert ran.code == 0 and "base" in ran.json["claimed"], ran.err
    assert "14 of 14 quantized layers are no rounding of its" in ran.err
    assert ran.json["quality"] == {}


def test_shard_by_shard_is_the_same_as_in_one_go(qreg: Run, tmp_path: Path) -> None:
    source = float_model("moe", USER)
    for recipe, folder in (("w8a8-dynamic", "whole"), ("model-free-w8a8-dynamic", "shards")):
        ran = qreg(
            *("quantize", source, "--recipe", recipe, "--name", f"t/{folder}", "--no-evaluate"),
            *("--output", tmp_path / folder, "--json"),
        )
        assert ran.code == 0, ran.err
    left, right = (open_checkpoint(tmp_path / name) for name in ("whole", "shards"))
    alike, changes = tensor_changes(left, right, ignore)
    assert changes == [] and alike == len(left.tensors)
    manifest = json.loads((tmp_path / "shards" / "qreg.json").read_text())
    assert manifest["quantization"]["schemes"]["moe"] == {"W8A8_DYNAMIC": 2 * 8 * 3}


def test_static_scales_from_a_folder_of_a_data_set(qreg: Run, tmp_path: Path) -> None:
    data = tmp_path / "texts"
    data.mkdir()
    rows = [json.dumps({"text": text}) for text in TEXTS]
    (data / "train.jsonl").write_text("\n".join(rows))
    ran = qreg(
        *("quantize", float_model("dense", USER), "--recipe", "w8a8-static", "--no-evaluate"),
        *("--calibration", data, "--name", "t/s", "--output", tmp_path / "q", "--json"),
    )
    assert ran.code == 0, ran.err + ran.out
    manifest = json.loads((tmp_path / "q" / "qreg.json").read_text())
    assert manifest["quantization"]["scheme"] == "W8A8"
    calibration = manifest["provenance"]["calibration"]
    assert calibration["used"]["samples"] == len(TEXTS)
    assert calibration["digest"].startswith("sha256:")
    (data / "train.jsonl").write_text(json.dumps({"prompt": "x"}))
    wrong = qreg(
        *("quantize", float_model("dense", USER), "--recipe", "w8a8-static", "--no-evaluate"),
        *("--calibration", data, "--name", "t/s", "--output", tmp_path / "r", "--json"),
    )
    assert wrong.code == 8 and "has no texts that qreg finds" in wrong.error["message"]
