"""Launches that fail, as their users see them: exit code, root cause, and nothing left behind."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from registry.config import Settings
from serving.identity import free_port
from tests.checkpoints import write_quantized
from tests.conftest import Run
from tests.serving.stub_engine import install

Engine = Callable[[str], Path]


@pytest.fixture
def engine(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Path]:
    """Installs an engine that does this at its start; gives a model to serve with it."""

    def make(before: str) -> Path:
        install(tmp_path, before, monkeypatch)
        return write_quantized(tmp_path / "m")

    return make


def _left(tmp_path: Path) -> list[str]:
    """Command lines of processes that were started from the test's toolchain."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(str(tmp_path / "engine") in word for word in words):
            found.append(" ".join(words))
    return found


def test_an_engine_that_is_killed_at_its_start(qreg: Run, engine: Engine, tmp_path: Path) -> None:
    # The error before it has nothing to do with the end; the signal says what happened.
    model = engine(
        "say('(APIServer pid=1) ERROR 11-28 10:47:04 [x.py:1] ValueError: an optional part')\n"
        "os.fork() or time.sleep(60)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    ran = qreg("serve", model, "--port", free_port(), "--json")
    assert ran.code == 8, ran.err
    assert "ended at start-up (signal 9, SIGKILL): something killed it" in ran.error["message"]
    assert "dmesg" in ran.error["remedy"] and "Its whole log is" in ran.error["remedy"]
    assert _left(tmp_path) == []


def test_a_worker_that_is_killed_while_serving(engine: Engine, tmp_path: Path) -> None:
    """As vLLM reports it (v1/executor/multiproc_executor.py), a day after another error."""
    model = engine(
        "import threading\n"
        "say('(APIServer pid=1) ERROR 11-28 10:47:04 [x.py:1] ValueError: yesterday')\n"
        "say('(APIServer pid=1) INFO 11-28 10:47:04 [x.py:1] Application startup complete.')\n"
        "def later():\n"
        f"    while not os.path.exists({str(tmp_path / 'now')!r}): time.sleep(0.05)\n"
        "    say('(EngineCore pid=7) ERROR 11-29 23:10:21 [executor.py:316] '\n"
        "        'Worker proc VllmWorker-0 died unexpectedly (exit code: -9), shutting down.')\n"
        "    os._exit(1)\n"
        "threading.Thread(target=later, daemon=True).start()"
    )
    command = [sys.executable, "-m", "qreg", "serve", str(model), "--port", str(free_port())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while "Ctrl-C stops it" not in process.stdout.readline():
        assert process.poll() is None
    (tmp_path / "now").touch()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 8
    assert "ended while serving (exit code 1): a process of the engine was killed (SIGKILL)" in err
    assert _left(tmp_path) == []


def test_a_port_that_is_stolen_meanwhile(qreg: Run, engine: Engine, tmp_path: Path) -> None:
    port = free_port()
    model = engine(f"open({str(tmp_path / 'started')!r}, 'w').close(); time.sleep(1)")
    thief = threading.Thread(target=_steal, args=(port, tmp_path / "started"))
    thief.start()
    ran = qreg("serve", model, "--port", port, "--json")
    thief.join()
    assert ran.code == 8, ran.err
    assert "another program took the port in the meantime" in ran.error["message"]
    assert "--port" in ran.error["remedy"] and "Address already in use" in ran.error["details"]
    assert _left(tmp_path) == []


def _steal(port: int, started: Path) -> None:
    """Take a port as soon as the engine runs, and never answer on it."""
    while not started.exists():
        time.sleep(0.02)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        time.sleep(6)


def test_an_engine_that_never_gets_ready(qreg: Run, engine: Engine, tmp_path: Path) -> None:
    model = engine(
        "say('(Worker pid=1) INFO 11-28 10:47:33 [runner.py:68] Starting to load model')\n"
        "say('(Worker pid=2) INFO 11-28 10:47:33 [__init__.py:1] Resolved architecture: Q')\n"
        "time.sleep(60)"
    )
    ran = qreg("serve", model, "--port", free_port(), "--timeout", 3, "--json")
    assert ran.code == 8
    assert "not ready within 3 seconds" in ran.error["message"]
    assert "still at this step: loading weights" in ran.error["message"]
    assert "--timeout" in ran.error["remedy"]
    assert _left(tmp_path) == []


def test_an_engine_that_waits_for_one_that_failed(qreg: Run, engine: Engine) -> None:
    """One rank died, the server goes on waiting for it: the cause is told after the time limit."""
    model = engine(
        "say('(Worker_TP1 pid=1) OSError: [Errno 28] No space left on device')\ntime.sleep(60)"
    )
    ran = qreg("serve", model, "--port", free_port(), "--timeout", 3, "--json")
    assert ran.code == 8 and "a disk is full" in ran.error["message"]


def test_a_log_whose_disk_is_full(
    qreg: Run, engine: Engine, settings: Settings, tmp_path: Path
) -> None:
    """What the engine says is lost; that the disk is full is told all the same."""
    model = engine("say('x' * 2**21); sys.exit(1)")
    logs = settings.logs
    logs.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(logs)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("a tmpfs may not be mounted here")
    try:
        ran = qreg("serve", model, "--port", free_port(), "--json")
    finally:
        subprocess.run(["umount", str(logs)], check=True)
    assert ran.code == 8, ran.err
    assert "disk of its log is full" in ran.error["message"] and str(logs) in ran.error["message"]
    assert "QREG_DATA" in ran.error["remedy"]
    assert _left(tmp_path) == []


def test_warnings_of_the_plan_come_first(qreg: Run, engine: Engine, tmp_path: Path) -> None:
    """Here one of many: the GPU is in use."""
    model = engine("time.sleep(0)")
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "nvidia-smi").write_text("#!/bin/sh\necho '0, NVIDIA H200, 143771, 20000'\n")
    (tools / "nvidia-smi").chmod(0o755)
    env = {"PATH": f"{tools}:{os.environ['PATH']}"}
    for form in ((), ("--json",), ("--quiet",)):
        ran = qreg("serve", model, "--port", free_port(), *form, env=env)
        assert ran.code != 0  # vLLM for GPUs is not here
        first, _, rest = ran.err.partition("GPU 0 is in use: 20000 of 143771 MiB")
        assert rest and "rror" not in first
        if form == ("--json",):
            events = [json.loads(line) for line in ran.err.splitlines()]
            assert any(e["event"] == "note" and e["warning"] for e in events)
        generated = qreg("generate", model, "--prompt", "a", *form, env=env)
        assert "GPU 0 is in use" in generated.err


def test_offline_answers_name_the_same_cause(qreg: Run, engine: Engine, tmp_path: Path) -> None:
    model = engine(
        "say('(Worker_TP1 pid=1) OSError: [Errno 28] No space left on device')\n"
        "say('RuntimeError: Engine core initialization failed. See root cause above.')\n"
        "sys.exit(1)"
    )
    ran = qreg("generate", model, "--prompt", "a", "--json")
    assert ran.code == 8, ran.err
    assert ran.error["message"].endswith("ended while generating (exit code 1): a disk is full")
    assert _left(tmp_path) == []


def test_memory_that_is_not_free(qreg: Run, engine: Engine, tmp_path: Path) -> None:
    """The engine is not started; that would take half a minute to say the same."""
    model = engine(f"open({str(tmp_path / 'started')!r}, 'w').close()")
    env = {"VLLM_CPU_KVCACHE_SPACE": "100000"}
    for asked in (("serve", "--port", free_port()), ("generate", "--prompt", "a")):
        ran = qreg(asked[0], model, *asked[1:], "--json", env=env)
        assert ran.code == 6, ran.err
        assert "100000.0 of KV cache" in ran.error["message"]
        assert "VLLM_CPU_KVCACHE_SPACE=" in ran.error["remedy"]
    assert not (tmp_path / "started").exists()


FULL = """
import errno, os, sys
import registry.tracking.recovery
def full(*_, **__): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
registry.tracking.recovery.synchronise = full
sys.argv[0] = "qreg"
from qreg.__main__ import main
sys.exit(main())
"""


def test_what_mlflow_cannot_be_told_hides_no_reason(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full when the failed start is to be sent to another machine's MLflow."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    model = engine("say('ValueError: the first reason'); sys.exit(1)")
    words = ["serve", str(model), "--port", str(free_port()), "--json"]
    done = subprocess.run(
        [sys.executable, "-c", FULL, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 8, done.stderr
    assert "ended at start-up" in json.loads(done.stdout)["error"]["message"]
    assert "could not be sent to MLflow: No space left on device" in done.stderr
