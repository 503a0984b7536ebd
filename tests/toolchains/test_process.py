"""Tools as process trees: followed, stopped, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from toolchains import Tool, run_tool
from toolchains.process import started

# Starts a grandchild that outlives its parent and ignores SIGTERM, and says the grandchild's pid.
STUBBORN = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True);"
    "time.sleep(600)"], start_new_session=True)
print("child", child.pid, flush=True)
time.sleep({seconds})
"""


def _script(seconds: float) -> list[str]:
    return [sys.executable, "-c", STUBBORN.format(seconds=seconds)]


def _child(tool_log: Path) -> int:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        words = tool_log.read_text().split() if tool_log.exists() else []
        if "child" in words and "up" in words:
            return int(words[words.index("child") + 1])
        time.sleep(0.05)
    raise AssertionError("the tool did not start")


def _gone(pid: int, within: float = 10) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_lines_code_and_memory_are_reported(tmp_path: Path) -> None:
    code = "import sys; print('a\\rb'); print('c', file=sys.stderr); x = b'x' * (60 << 20); exit(3)"
    lines: list[str] = []
    done = run_tool([sys.executable, "-c", code], log=tmp_path / "log", on_line=lines.append)
    assert done.code == 3
    assert sorted(lines) == ["a", "b", "c"]
    assert done.peak_rss > 60 << 20
    assert "c\n" in (tmp_path / "log").read_text()


def test_a_command_that_does_not_exist(tmp_path: Path) -> None:
    assert run_tool(["/no/such/tool"], log=tmp_path / "log").code == 127
    assert "/no/such/tool" in (tmp_path / "log").read_text()


def test_a_signal_is_a_negative_code(tmp_path: Path) -> None:
    code = "import os; os.kill(os.getpid(), 9)"
    assert run_tool([sys.executable, "-c", code], log=tmp_path / "log").code == -9


def test_stopping_ends_the_whole_tree(tmp_path: Path) -> None:
    tool = Tool(_script(600), log=tmp_path / "log", grace=0.5)
    child = _child(tmp_path / "log")
    tool.stop()
    assert _gone(child)
    assert not tool.running


def test_orphans_of_a_tool_that_ended_by_itself_end_too(tmp_path: Path) -> None:
    with started(_script(0.5), log=tmp_path / "log", grace=0.5) as tool:
        child = _child(tmp_path / "log")
        assert tool.wait().code == 0
    assert _gone(child)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_qreg(tmp_path: Path, number: signal.Signals) -> None:
    """Whatever kills the process that started the tool, the tool's tree is gone soon after."""
    code = (
        # A background job of a script inherits SIGINT ignored; the command line takes it back, too.
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from pathlib import Path\nfrom toolchains import run_tool\n"
        f"run_tool({_script(600)!r}, log=Path({str(tmp_path / 'log')!r}), grace=0.5)\n"
    )
    qreg = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    child = _child(tmp_path / "log")
    tree = psutil.Process(qreg.pid).children(recursive=True)
    qreg.send_signal(number)
    qreg.wait(20)
    assert _gone(child)
    assert all(_gone(process.pid) for process in tree)


def test_a_killed_supervisor_takes_the_tool_with_it(tmp_path: Path) -> None:
    code = "import time; print('child 0 up', flush=True); time.sleep(600)"
    tool = Tool([sys.executable, "-c", code], log=tmp_path / "log")
    _child(tmp_path / "log")
    (process,) = psutil.Process(tool.supervisor_pid).children()
    os.kill(tool.supervisor_pid, signal.SIGKILL)
    assert _gone(process.pid)
    assert tool.wait().code != 0
