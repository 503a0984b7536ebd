"""Installing, using and removing toolchains, with real pip and a small lock."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import toolchains.catalogue
from registry.config import Settings
from registry.errors import IncompatibleError, NotFoundError, ToolError
from registry.progress import Event, Progress
from toolchains import CATALOGUE, Spec, find_toolchain, spec_of
from toolchains.install import find_interpreter, install_toolchain
from toolchains.installed import MARKER, home_of, remove_toolchain, use_interpreter
from toolchains.lock import read_lock
from toolchains.status import all_statuses

SMALL = Spec("small", "a test", "iniconfig", ("iniconfig",), (10, 14), "small.txt")


@pytest.fixture
def small(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A catalogue with one tiny toolchain, and a toolchains folder of its own."""
    (tmp_path / "locks").mkdir()
    lock = "# a comment\niniconfig==2.1.0\ncolorama==0.4.6 ; sys_platform == 'win32'\n"
    (tmp_path / "locks" / "small.txt").write_text(lock)
    monkeypatch.setattr(toolchains.catalogue, "LOCKS", tmp_path / "locks")
    monkeypatch.setattr(toolchains.catalogue, "CATALOGUE", (SMALL,))
    monkeypatch.setattr("toolchains.status.CATALOGUE", (SMALL,))
    return replace(settings, toolchains=tmp_path / "toolchains")


def test_install_show_and_remove(small: Settings) -> None:
    events: list[Event] = []
    made = install_toolchain("small", small, observe=events.append)
    assert made.version == "2.1.0"
    assert made.lock_digest == SMALL.lock_digest
    assert made.python.parent.parent == home_of(SMALL, small)
    counted = [e for e in events if isinstance(e, Progress) and e.stage == "fetching packages"]
    assert (counted[-1].done, counted[-1].total) == (1, 1)
    assert find_toolchain("small", small) == made
    assert [s.state for s in all_statuses(small)] == ["ready"]
    assert remove_toolchain("small", small) == [home_of(SMALL, small)]
    with pytest.raises(NotFoundError, match="not installed") as caught:
        find_toolchain("small", small)
    assert "qreg toolchain install small" in caught.value.remedy


def test_an_installation_without_its_marker_is_none(small: Settings) -> None:
    install_toolchain("small", small)
    (home_of(SMALL, small) / MARKER).unlink()
    (home_of(SMALL, small) / "leftover").write_text("")
    with pytest.raises(NotFoundError):
        find_toolchain("small", small)
    install_toolchain("small", small)
    assert not (home_of(SMALL, small) / "leftover").exists()


def test_another_lock_is_another_installation(small: Settings, tmp_path: Path) -> None:
    install_toolchain("small", small)
    (tmp_path / "locks" / "small.txt").write_text("iniconfig==2.0.0\n")
    with pytest.raises(NotFoundError):
        find_toolchain("small", small)
    assert install_toolchain("small", small).version == "2.0.0"
    assert len(remove_toolchain("small", small)) == 2


def test_what_pip_says_reaches_the_user(small: Settings, tmp_path: Path) -> None:
    (tmp_path / "locks" / "small.txt").write_text("iniconfig==0.0.0.0.1\n")
    with pytest.raises(ToolError, match="pip failed") as caught:
        install_toolchain("small", small)
    assert "iniconfig" in caught.value.details


def test_a_tool_that_does_not_import_is_not_installed(
    small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = replace(SMALL, probe=("no_such_module",))
    monkeypatch.setattr(toolchains.catalogue, "CATALOGUE", (broken,))
    with pytest.raises(ToolError, match="cannot be imported") as caught:
        install_toolchain("small", small)
    assert "no_such_module" in caught.value.details
    with pytest.raises(NotFoundError):
        find_toolchain("small", small)


def test_an_interpreter_of_the_users(small: Settings, tmp_path: Path) -> None:
    made = install_toolchain("small", small)
    other = replace(small, toolchains=tmp_path / "other")
    used = use_interpreter("small", made.python, other)
    assert (used.version, used.lock_digest, used.python) == ("2.1.0", "", made.python)
    with pytest.raises(NotFoundError, match="no interpreter"):
        use_interpreter("small", tmp_path / "nope", other)


def test_an_interpreter_that_is_gone(small: Settings) -> None:
    made = install_toolchain("small", small)
    made.python.unlink()
    with pytest.raises(ToolError, match="is gone") as caught:
        find_toolchain("small", small)
    assert "qreg toolchain install small" in caught.value.remedy
    (status,) = all_statuses(small)
    assert status.state == "broken"
    assert install_toolchain("small", small).python.exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_installation_is_not_taken_for_a_finished_one(
    small: Settings, tmp_path: Path, number: signal.Signals
) -> None:
    code = (
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from dataclasses import replace\nfrom pathlib import Path\n"
        "import toolchains.catalogue as c\n"
        f"c.LOCKS = Path({str(tmp_path / 'locks')!r})\n"
        "c.CATALOGUE = (c.Spec('small', '', 'iniconfig', ('iniconfig',), (10, 14), 'small.txt'),)\n"
        "from registry.config import load\nfrom toolchains.install import install_toolchain\n"
        f"s = replace(load(), toolchains=Path({str(small.toolchains)!r}))\n"
        "install_toolchain('small', s)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    home = home_of(SMALL, small)
    deadline = time.monotonic() + 60
    while not (home / "pyvenv.cfg").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    process.wait(30)
    deadline = time.monotonic() + 15
    while _processes_in(home) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _processes_in(home)
    with pytest.raises(NotFoundError):
        find_toolchain("small", small)
    assert install_toolchain("small", small).version == "2.1.0"


def _processes_in(home: Path) -> list[int]:
    commands = ((p.pid, p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"]))
    return [pid for pid, words in commands if any(str(home) in word for word in words)]


def test_a_machine_without_cann_is_told_what_is_missing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ascend = replace(spec_of("vllm-ascend"), needs=("/no/such/toolkit",))
    monkeypatch.setattr(toolchains.catalogue, "CATALOGUE", (ascend,))
    with pytest.raises(IncompatibleError, match="CANN") as caught:
        install_toolchain("vllm-ascend", settings)
    assert "/no/such/toolkit" in caught.value.message
    assert "qreg toolchain use vllm-ascend" in caught.value.remedy


def test_an_interpreter_that_the_lock_serves_is_found() -> None:
    minor = sys.version_info.minor
    assert find_interpreter(replace(SMALL, python=(minor, minor))).exists()
    with pytest.raises(IncompatibleError, match=r"needs Python 3\.97"):
        find_interpreter(replace(SMALL, python=(97, 98)))


@pytest.mark.parametrize("spec", [s for s in CATALOGUE if s.lock], ids=lambda s: s.name)
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_locks_are_complete_and_pinned(spec: Spec, machine: str) -> None:
    pins = read_lock(toolchains.catalogue.LOCKS / spec.lock.format(machine=machine))
    assert len(pins) > 40
    for pin in pins:
        assert re.match(r"^[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+( ; .+)?$", pin.requirement), pin
        assert all(re.match(r"^sha256:[0-9a-f]{64}$", value) for value in pin.hashes), pin
    excepted = {"torch", "triton-ascend"} if spec.name == "vllm-ascend" else {"torch"}
    assert {pin.name for pin in pins if not pin.hashes} == excepted
    names = {pin.name.lower() for pin in pins}
    assert spec.distribution in names
    assert not names & {"torchvision", "torchaudio", "torchcodec"}


def test_unknown_toolchains() -> None:
    with pytest.raises(NotFoundError, match="no toolchain 'nope'"):
        spec_of("nope")
