"""Launches of the real engine: models that think first, and starts that fail."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from registry.config import Settings
from serving.identity import free_port
from tests.conftest import USER, Run
from tests.quantized import float_model

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("default")]
# The part of Qwen3's chat template that matters: thinking can be turned off, and the answer then
# begins after empty thoughts.
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{%- if enable_thinking is defined and enable_thinking is false %}"
    "{{ '<think>\n\n</think>\n\n' }}{%- endif %}{% endif %}"
)


@pytest.fixture
def model(settings: Settings, tmp_path: Path) -> Path:
    """A tiny Qwen3 of random weights, which never stops thinking of itself."""
    del settings  # the test's own data folder, for `serve` in a process of its own
    folder = tmp_path / "model"
    shutil.copytree(float_model("dense", USER), folder)
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    known = [*tokenizer["model"]["vocab"].values(), *(t["id"] for t in tokenizer["added_tokens"])]
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    for number, token in enumerate(("<think>", "</think>"), max(known) + 1):
        tokenizer["added_tokens"].append({"id": number, "content": token, **flags})
    path.write_text(json.dumps(tokenizer))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


def test_a_model_that_thinks_first(qreg: Run, model: Path) -> None:
    own = ("--", "--reasoning-parser", "qwen3")
    ran = qreg("serve", model, "--smoke-only", "--port", free_port(), "--json", *own)
    assert ran.code == 0, ran.err
    proof = ran.json["smoke"]
    assert proof["form"] == "content" and proof["answer"].strip()
    assert proof["reasoning"].strip() and proof["thinking"] is False
    assert proof["logprobs"] == "finite" and proof["tokens"] > 0
    stages = [json.loads(line).get("stage") for line in ran.err.splitlines()]
    assert "loading weights" in stages and "asking it once" in stages


def test_a_model_that_cannot_stop_thinking(qreg: Run, model: Path) -> None:
    """It also drafts, from its own text: the counts are read from the real server's metrics."""
    (model / "chat_template.jinja").write_text(TEMPLATE.partition("{%- if")[0] + "{% endif %}")
    drafts = {"method": "ngram", "num_speculative_tokens": 2, "prompt_lookup_max": 3}
    own = ("--", "--reasoning-parser", "qwen3", "--speculative-config", json.dumps(drafts))
    ran = qreg("serve", model, "--smoke-only", "--port", free_port(), "--json", *own)
    assert ran.code == 0, ran.err
    proof = ran.json["smoke"]
    assert proof["form"] == "reasoning" and proof["answer"].strip()
    assert 0 < proof["accepted"] < proof["drafted"] and proof["warnings"] == []


def _serve(model: Path, port: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "qreg", "serve", str(model), "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )


def _child(process: subprocess.Popen[str], name: str) -> psutil.Process:
    """The process below `serve` that vLLM named so, as soon as there is one."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for child in psutil.Process(process.pid).children(recursive=True):
            try:
                if name in " ".join(child.cmdline()):
                    return child
            except psutil.Error:
                continue
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError(f"no process {name}")


def _killed(model: Path, name: str, *, ready: bool) -> str:
    """What `qreg serve` says when a process of its engine is killed; nothing of it is left."""
    process = _serve(model, free_port())
    tree = []
    try:
        assert process.stdout is not None
        while ready and "Ctrl-C stops it" not in process.stdout.readline():
            assert process.poll() is None
        victim = _child(process, f"VLLM::{name}")
        tree = psutil.Process(process.pid).children(recursive=True)
        victim.send_signal(signal.SIGKILL)
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 8, err
    assert "killed" in err.split("│")[0], err
    assert psutil.wait_procs(tree, timeout=20)[1] == []
    return err


@pytest.mark.parametrize("name", ["EngineCore", "Worker"])
def test_a_process_that_is_killed_while_starting(model: Path, name: str) -> None:
    err = _killed(model, name, ready=False)
    assert "vllm-cpu ended at start-up" in err
    assert "dmesg" in err


@pytest.mark.parametrize("name", ["EngineCore", "Worker"])
def test_a_process_that_is_killed_while_serving(model: Path, name: str) -> None:
    assert "vllm-cpu ended while serving" in _killed(model, name, ready=True)


def test_a_port_that_is_stolen_while_the_engine_is_imported(model: Path) -> None:
    port = free_port()
    process = _serve(model, port)
    try:
        _child(process, "vllm.entrypoints.openai.api_server")
        with socket.socket() as thief:
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            thief.bind(("127.0.0.1", port))
            threading.Thread(target=thief.listen, daemon=True).start()
            _, err = process.communicate(timeout=120)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 8, err
    assert "another program took the port in the meantime" in err and "--port" in err


def test_offline_answers_name_the_same_cause(qreg: Run, model: Path) -> None:
    own = ("--", "--max-model-len", "100000")
    ran = qreg("generate", model, "--prompt", "a", "--json", *own)
    assert ran.code in (6, 8)
    assert "512" in ran.error["message"]
