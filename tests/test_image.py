"""The Docker image, as far as it can be tried without an engine: its base, its pins, its health."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from packaging.requirements import Requirement

from tests.own_hub import own_hub
from toolchains.lock import read_lock

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
DIGEST = "sha256:" + "4b" * 32


def _health(*ports: int) -> tuple[int, str]:
    command = [sys.executable, "-W", "error", ROOT / "container" / "health.py", *map(str, ports)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@contextmanager
def _server(status: int) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *arguments: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def unused() -> Iterator[int]:
    """A port that is taken, so that nobody else gets it, and on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_a_command_that_serves_nothing_is_healthy(unused: int) -> None:
    assert _health(unused) == (0, "")


def test_a_hub_is_healthy(tmp_path: Path, unused: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # A proxy of the environment has no say about the container's own ports.
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused}")
    with own_hub(tmp_path) as hub:
        assert _health(unused, int(hub.url.rpartition(":")[2])) == (0, "")


def test_a_server_that_fails_is_not(unused: int) -> None:
    with _server(200) as well, _server(503) as ill:
        assert _health(unused, well)[0] == 0
        code, said = _health(well, ill)
    assert code == 1
    assert f"port {ill} answers /health with 503" in said


def test_what_speaks_no_http_is_not_healthy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"nonsense\n")

        thread = Thread(target=refuse)
        thread.start()
        code, said = _health(listener.getsockname()[1])
        thread.join()
    assert code == 1
    assert "does not answer" in said


@pytest.mark.parametrize("answer", [f"echo {DIGEST}", "exit 1", "echo", "echo sha256:4b"])
def test_the_base_is_named_by_the_digest_of_its_registry_or_nothing_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """`docker` is a stand-in: a registry's answer, and what would have been built."""
    built = tmp_path / "built"
    stub = tmp_path / "docker"
    stub.write_text(
        f'#!/bin/sh\ncase "$1" in\n  buildx) {answer};;\n  build) echo "$@" > {built};;\nesac\n'
    )
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    make = ["make", "image"]
    done = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=False)
    if DIGEST in answer:
        assert done.returncode == 0, done.stderr
        assert f"--build-arg PYTHON_IMAGE=python:3.11-slim@{DIGEST} " in built.read_text()
    else:
        assert done.returncode != 0
        assert "Nothing was built" in done.stdout
        assert not built.exists()


def test_every_stage_starts_from_the_one_base() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert bases == ["${PYTHON_IMAGE}"] * 2
    assert "sha256:" not in DOCKERFILE.replace("sha256:…", "")


def test_what_the_image_is_made_of_is_there() -> None:
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    sources = [source for line in copies for source in line.split()]
    assert "requirements.txt" in sources
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_the_wheel_is_built_by_hashed_packages(tmp_path: Path) -> None:
    """The Dockerfile's own command picks what hatchling needs out of the pins."""
    assert shutil.which("awk")
    (program,) = re.findall(r"awk '([^']+)'", DOCKERFILE)
    command = ["awk", program, str(ROOT / "requirements-dev.txt")]
    (tmp_path / "build.txt").write_bytes(subprocess.check_output(command))
    pins = [pin for pin in read_lock(tmp_path / "build.txt") if pin.applies]
    assert all(pin.hashes for pin in pins)
    needed = {"hatchling"}
    for line in importlib.metadata.requires("hatchling") or []:
        requirement = Requirement(line)
        if not requirement.marker or requirement.marker.evaluate({"extra": ""}):
            needed.add(requirement.name)
    assert {pin.name for pin in pins} == needed


def test_pip_installs_nothing_without_a_hash_but_the_wheel() -> None:
    calls = re.findall(r"pip install (.+?)(?: &&| \\|$)", DOCKERFILE, re.MULTILINE)
    assert len(calls) == 3
    for call in calls:
        assert "--no-deps" in call
        assert "--require-hashes" in call or "--no-index /wheels/*.whl" in call
