"""The whole loop with the real tools: quantize, publish, pull, plan, serve, generate."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from quantizers.quality.text import training_passages
from registry.artifact import Digest
from registry.config import Settings
from registry.evidence import read_all_evidence, read_evidence
from registry.tracking.client import connect
from serving.identity import free_port
from tests.conftest import Run

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("default")]
NAME = "demo/Qwen3-demo-W8A8"


def _tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@contextmanager
def _serving(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "qreg", "serve", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate()


def _first_document(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The JSON that `serve` prints when it is ready."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line == "}\n":
            document: dict[str, Any] = json.loads(text)
            return document
    raise AssertionError("the server did not become ready")


def _ask(endpoint: str, model: str, prompt: str) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 24}
    request = urllib.request.Request(
        f"{endpoint}/chat/completions",
        json.dumps({**body, "temperature": 0}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return str(json.load(response)["choices"][0]["message"]["content"])


def _gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=20)
    return not alive


def test_the_demo_model_from_weights_to_answers(
    qreg: Run, settings: Settings, built: Callable[[str], Path], tmp_path: Path
) -> None:
    source = built("DEMO")
    before = _tree(source)
    made = ("--output", tmp_path / "q", "--evaluate", "full", "--json")
    quantized = qreg("quantize", source, "--name", NAME, *made)
    assert quantized.code == 0, quantized.err
    result = quantized.json
    assert _tree(source) == before
    assert result["scheme"] == "W8A8_DYNAMIC"
    assert result["size_after"] < 0.7 * result["size_before"]
    assert 1 < result["quality"]["perplexity_float"] < 400
    assert result["quality"]["perplexity_ratio"] <= 1.02
    for stage in ("loading the model", "compressing layers", "measuring perplexity (quantized)"):
        assert stage in quantized.err
    _check_run(settings, result, source)

    published = qreg("publish", tmp_path / "q", "--json").json
    assert published["digest"] == result["digest"]
    pulled = qreg("pull", NAME, "--output", tmp_path / "pulled", "--json").json
    assert pulled["digest"] == result["digest"]
    copied, made = _contents(tmp_path / "pulled"), _contents(tmp_path / "q")
    assert copied.pop("README.md").startswith(b"---\n")  # the card, which the folder lacks
    assert json.loads(copied.pop("qreg.json"))["digest"] == result["digest"]
    del made["qreg.json"]
    assert copied == made
    assert (
        qreg("inspect", "models:/demo--Qwen3-demo-W8A8@current", "--json").json["digest"]
        == (result["digest"])
    )
    _check_serving(qreg, settings)


def _contents(folder: Path) -> dict[str, bytes]:
    return {path: content for path, (content, _) in _tree(folder).items()}


def _check_run(settings: Settings, result: dict[str, Any], source: Path) -> None:
    client = connect(settings)
    run = client.get_run(result["mlflow_run"])
    assert run.info.status == "FINISHED"
    experiment = client.get_experiment(run.info.experiment_id)
    assert experiment.name == f"quant/{source.name}"
    metrics, params = run.data.metrics, run.data.params
    assert metrics["perplexity/ratio"] == pytest.approx(result["quality"]["perplexity_ratio"])
    assert metrics["memory/peak_rss_bytes"] > 200 * 2**20
    assert metrics["size/after_bytes"] == result["size_after"]
    assert {"perplexity/float", "perplexity/quantized", "time/tool_seconds"} <= set(metrics)
    assert 0 < metrics["divergence"] < 0.01 and 0.9 < metrics["agreement"] <= 1
    assert metrics["weights/sqnr_db"] == pytest.approx(result["quality"]["sqnr_db"])
    assert 35 < metrics["weights/sqnr_db_worst"] <= metrics["weights/sqnr_db"] < 50
    assert params["recipe"] == "w8a8-dynamic" and params["version.torch"].startswith("2.13")
    assert params["source_digest"].startswith("sha256:") and "recipe_digest" in params
    assert run.data.tags["qreg.digest"] == result["digest"]
    names = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert names == {"logs", "quality", "recipe", "qreg.json"}
    quality = {item.path for item in client.list_artifacts(run.info.run_id, "quality")}
    files = ("report.html", "quality.json", "worst_layers.json")
    assert quality == {f"quality/{name}" for name in files}
    by_layer = client.get_metric_history(run.info.run_id, "weights/sqnr_db_by_layer/attention")
    assert [point.step for point in by_layer] == list(range(len(by_layer)))
    assert len(by_layer) > 1 and all(35 < point.value < 50 for point in by_layer)
    (log,) = client.list_artifacts(run.info.run_id, "logs")
    assert log.file_size > 1000


def _check_evidence(qreg: Run, settings: Settings, ready: dict[str, Any]) -> None:
    """Planned beside measured, by the real engine's own log; and a second plan that says so."""
    launch, smoke = read_evidence(settings, Digest.parse(ready["digest"]))
    assert smoke["verdict"] == "passed" and smoke["launch"] == launch["launch"]
    planned, measured = launch["planned"], launch["measured"]
    assert planned["kv_tokens"] == measured["kv_tokens"]
    (worker,) = measured["devices"].values()
    assert worker["kv_cache"] == planned["kv_cache"]
    (memory,) = measured["memory"]
    assert memory["ours"] > planned["weights"] + planned["kv_cache"]  # the cache is written to
    assert 0 < measured["overhead"] < 3 * 2**30
    assert sum(launch["stages"].values()) == pytest.approx(launch["seconds_to_ready"], abs=2)
    again = qreg("plan", NAME, "--json").json
    assert again["proven"][0]["same_plan"] and again["proven"][0]["passed"]
    assert "overhead measured on CPU" in again["overhead_source"]
    assert "proven on CPU" in qreg("plan", NAME).out
    assert "evidence" in qreg("inspect", NAME).out


def _check_serving(qreg: Run, settings: Settings) -> None:
    port = free_port()
    with _serving(NAME, "--port", port, "--json") as process:
        ready = _first_document(process)
        tree = psutil.Process(process.pid).children(recursive=True)
        assert len(tree) >= 3
        answer = _ask(ready["endpoint"], ready["model"], "What is json.dumps?")
        assert ready["smoke"]["answer"].startswith(answer)
        words = {w for passage in training_passages() for w in passage.text.split()}
        spoken = answer.split()
        assert len(spoken) > 5
        assert sum(word in words for word in spoken) > 0.7 * len(spoken)
        second = qreg("serve", NAME, "--port", port)
        assert second.code == 2 and f"Port {port}" in second.err
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert _gone(tree)
    _check_evidence(qreg, settings, ready)
    offline = qreg(
        "generate", NAME, "--prompt", "What is json.dumps?", "--max-tokens", 24, "--json"
    )
    assert offline.code == 0, offline.err
    (generation,) = offline.json["generations"]
    assert generation["answer"].strip()[:40] == answer.strip()[:40]


def test_experts_are_quantized_and_the_cpu_says_that_it_cannot_serve_them(
    qreg: Run, settings: Settings, built: Callable[[str], Path], tmp_path: Path
) -> None:
    ran = qreg(
        *("quantize", built("TINY_MOE"), "--name", "test/moe", "--output", tmp_path / "q"),
        *("--evaluate", "full", "--json"),
    )
    assert ran.code == 0, ran.err
    manifest = qreg("inspect", tmp_path / "q", "--json").json
    schemes = manifest["quantization"]["schemes"]
    assert schemes["moe"] == {"W8A8_DYNAMIC": 2 * 8 * 3}
    assert schemes["router"] == {"FLOAT": 2} and schemes["lm_head"] == {"FLOAT": 1}
    assert ran.json["quality"]["perplexity_ratio"] < 1.05
    assert qreg("publish", tmp_path / "q").code == 0
    refused = qreg("serve", "test/moe")
    assert refused.code == 6 and "no kernel for quantized experts" in refused.err


def test_smoothing_and_gptq_with_a_calibration_set(
    qreg: Run, settings: Settings, built: Callable[[str], Path], tmp_path: Path
) -> None:
    calibration = tmp_path / "calibration.jsonl"
    texts = [passage.text for passage in training_passages()[:24]]
    calibration.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    recipe = tmp_path / "small.yaml"
    shipped = Path("quantizers/recipes/llmcompressor/w8a8-smooth.yaml").resolve()
    recipe.write_text(shipped.read_text().replace("max_tokens: 2048", "max_tokens: 128"))
    ran = qreg(
        *("quantize", built("TINY_DENSE"), "--name", "test/smooth", "--recipe", recipe),
        *("--calibration", calibration, "--output", tmp_path / "q", "--json"),
    )
    assert ran.code == 0, ran.err
    assert "calibrating, block" in ran.err
    run = connect(settings).get_run(ran.json["mlflow_run"])
    assert run.inputs.dataset_inputs[0].dataset.name == "calibration.jsonl"
    assert run.data.params["calibration_digest"].startswith("sha256:")
    manifest = json.loads((tmp_path / "q" / "qreg.json").read_text())
    assert manifest["quantization"]["scheme"] == "W8A8_DYNAMIC"


def test_a_tool_that_fails_says_why_and_fails_the_run(
    qreg: Run, settings: Settings, built: Callable[[str], Path], tmp_path: Path
) -> None:
    recipe = tmp_path / "wrong.yaml"
    recipe.write_text("q_stage: {q_modifiers: {NoSuchModifier: {targets: [Linear], scheme: INT8}}}")
    ran = qreg("quantize", built("TINY_DENSE"), "--name", "t/w", "--recipe", recipe, "--json")
    assert ran.code == 8
    assert "NoSuchModifier" in ran.error["details"]
    assert _only_run(settings, "tiny").info.status == "FAILED"
    assert not list((settings.data / "outputs").rglob("*.safetensors"))


def test_layers_that_the_tool_leaves_float_fail_the_run(
    qreg: Run, settings: Settings, built: Callable[[str], Path], tmp_path: Path
) -> None:
    """A router is no Linear layer to LLM-Compressor: it ends well, and leaves it as it was."""
    recipe = tmp_path / "router.yaml"
    recipe.write_text(
        "q_stage: {q_modifiers: {QuantizationModifier:"
        " {targets: [Linear], scheme: INT8, ignore: [lm_head]}}}"
    )
    ran = qreg("quantize", built("TINY_MOE"), "--name", "t/r", "--recipe", recipe, "--json")
    assert ran.code == 8
    assert "ended with exit code 0, but left 2 layers" in ran.error["message"]
    assert "model.layers.0.mlp.gate" in ran.error["details"]
    assert _only_run(settings, "MoE").info.status == "FAILED"
    # Hours of work may be in it: it is kept beside the output, said, and no artifact.
    (kept,) = (settings.data / "outputs").rglob("*.rejected")
    assert str(kept) in ran.err and not (kept / "qreg.json").exists()
    assert {p.parent for p in (settings.data / "outputs").rglob("*.safetensors")} == {kept}


def _only_run(settings: Settings, base: str) -> Any:
    client = connect(settings)
    (experiment,) = (e for e in client.search_experiments() if base in e.name)
    (run,) = client.search_runs([experiment.experiment_id])
    return run


def test_an_engine_that_dies_shows_its_last_error(
    qreg: Run, settings: Settings, built: Callable[[str], Path]
) -> None:
    assert qreg("publish", built("TINY_DENSE"), "--name", "test/tiny").code == 0
    ran = qreg("serve", "test/tiny", "--port", free_port(), "--", "--no-such-flag", "1")
    assert ran.code == 8
    assert "unrecognized arguments: --no-such-flag" in ran.err
    (entry,) = read_all_evidence(settings)  # a failed start is evidence, too
    assert (entry["kind"], entry["verdict"]) == ("launch", "failed")
    assert "the engine does not know --no-such-flag" in entry["cause"]
    assert entry["flags"]["--no-such-flag"] == "1"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_quantization_that_is_cut_off(
    qreg: Run,
    settings: Settings,
    built: Callable[[str], Path],
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    source = built("TINY_DENSE")
    before = _tree(source)
    output = tmp_path / "q"
    process = subprocess.Popen(
        [sys.executable, "-m", "qreg", "quantize", source, "--name", "t/x", "--output", output],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while "starting llmcompressor" not in process.stderr.readline():
        assert process.poll() is None
    time.sleep(1.5)
    tree = psutil.Process(process.pid).children(recursive=True)
    assert len(tree) >= 2
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    assert _gone(tree)
    assert qreg("list").code == 0
    assert _only_run(settings, "tiny").info.status == "KILLED"
    assert _tree(source) == before
    assert not output.exists()
    assert [p.name for p in tmp_path.iterdir() if "qreg" in p.name] == []


def test_the_ui_of_mlflow_opens_and_ends(settings: Settings) -> None:
    port = free_port()
    command = [sys.executable, "-m", "qreg", "ui", "--port", str(port), "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith(f"http://127.0.0.1:{port}/")
        with urllib.request.urlopen(url, timeout=30) as response:
            assert b"MLflow" in response.read()
        tree = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert _gone(tree)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("delay", [2.0, 12.0])
def test_a_killed_serve_leaves_no_engine(
    qreg: Run, settings: Settings, built: Callable[[str], Path], delay: float
) -> None:
    assert qreg("publish", built("TINY_DENSE"), "--name", "test/tiny").code == 0
    with _serving("test/tiny", "--port", free_port()) as process:
        time.sleep(delay)
        tree = psutil.Process(process.pid).children(recursive=True)
        assert len(tree) >= 2
        process.kill()
        process.wait()
        assert _gone(tree)


def test_publishing_that_is_killed_at_any_moment(
    qreg: Run, settings: Settings, tmp_path: Path
) -> None:
    from tests.checkpoints import FLOAT, write_model

    big = {**FLOAT, "model.layers.0.mlp.big.weight": ("BF16", [16384, 16384])}
    folder = write_model(tmp_path / "m")
    _write_sparse(folder / "model.safetensors", big)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    command = [sys.executable, "-m", "qreg", "publish", folder, "--name", "t/big"]
    for delay in (0.15, 0.3, 0.45, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(delay)
        process.kill()
        process.wait()
        listed = qreg("list", "--json").json["artifacts"]
        assert all(qreg("verify", f"t/big@{row['digest']}").code == 0 for row in listed)
    assert qreg("publish", folder, "--name", "t/big").code == 0
    assert qreg("verify", "t/big").code == 0
    assert list((settings.data / "registry" / "staging").iterdir()) == []
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def _write_sparse(path: Path, tensors: dict[str, tuple[str, list[int]]]) -> None:
    from tests.checkpoints import header_of

    header, size = header_of(tensors)
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + size)
