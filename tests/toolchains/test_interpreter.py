"""What tools see of PYTHONPATH, of CANN's variables, and of the folder that they run in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import toolchains.catalogue
from registry.config import Settings
from registry.errors import ToolError
from registry.progress import Event, Note
from toolchains import Spec, Toolchain
from toolchains.installed import use_interpreter
from toolchains.interpreter import module_command, python_environment, worker_command

OWN = Toolchain("small", Path(sys.executable), "", "", {}, "")
LOCKED = replace(OWN, lock_digest="0" * 64)
NEW, OLD = "3.11.7", "3.10.14"


@pytest.fixture
def tbe(tmp_path: Path) -> Path:
    """A folder as CANN's `set_env.sh` puts into PYTHONPATH."""
    folder = tmp_path / "cann" / "python" / "site-packages"
    (folder / "tbe").mkdir(parents=True)
    (folder / "tbe" / "__init__.py").write_text("here = True\n")
    return folder


def test_an_environment_of_the_user_is_asked_with_its_pythonpath(
    tbe: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = Spec("small", "a test", "iniconfig", ("iniconfig", "tbe"), (10, 14), "")
    monkeypatch.setattr(toolchains.catalogue, "CATALOGUE", (spec,))
    own = replace(settings, toolchains=tmp_path / "toolchains")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with pytest.raises(ToolError, match="tbe"):
        use_interpreter("small", Path(sys.executable), own)
    monkeypatch.setenv("PYTHONPATH", str(tbe))
    assert use_interpreter("small", Path(sys.executable), own).python == Path(sys.executable)


def test_an_environment_of_the_user_is_asked_as_if_cann_was_sourced(
    tbe: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "home" / "Ascend" / "cann" / "set_env.sh"
    script.parent.mkdir(parents=True, mode=0o755)
    script.write_text(f"export ASCEND_HOME_PATH=/x ASCEND_OPP_PATH=/x/opp PYTHONPATH={tbe}\n")
    script.chmod(0o644)
    for name in ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME", "ASCEND_OPP_PATH", "PYTHONPATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    spec = Spec("small", "a test", "iniconfig", ("tbe",), (10, 14), "")
    monkeypatch.setattr(toolchains.catalogue, "CATALOGUE", (spec,))
    own = replace(settings, toolchains=tmp_path / "toolchains")
    events: list[Event] = []
    use_interpreter("small", Path(sys.executable), own, events.append)
    assert [e for e in events if isinstance(e, Note) and str(script) in e.text]


def test_a_locked_toolchain_gets_canns_part_of_pythonpath_alone(tbe: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    have = {"PYTHONPATH": f"{foreign}:{tbe}::.", "PYTHONHOME": "/x"}
    assert python_environment(LOCKED, have) == {"PYTHONPATH": str(tbe), "PYTHONHOME": ""}
    # The vendor's own interpreter gets both, but never the working folder.
    assert python_environment(OWN, have)["PYTHONPATH"] == f"{foreign}:{tbe}"
    told = {"ASCEND_HOME_PATH": str(foreign), "PYTHONPATH": f"{foreign}/opp/ai_core"}
    assert python_environment(LOCKED, told)["PYTHONPATH"] == f"{foreign}/opp/ai_core"
    assert python_environment(LOCKED, {}) == {}
    # A script of the user's may have its modules there.
    assert python_environment(LOCKED, have, whole=True)["PYTHONPATH"] == f"{foreign}:{tbe}"


def test_ascends_tools_get_what_set_env_sets(tbe: Path, tmp_path: Path) -> None:
    script = tmp_path / "ascend-toolkit" / "set_env.sh"
    script.parent.mkdir(mode=0o755)
    script.write_text(f"export ASCEND_OPP_PATH=/x/opp PYTHONPATH={tbe}:$PYTHONPATH\n")
    script.chmod(0o644)
    have = {"PATH": os.environ["PATH"], "PYTHONPATH": "/own"}
    found = python_environment(OWN, have, system=tmp_path)
    assert (found["ASCEND_OPP_PATH"], found["PYTHONPATH"]) == ("/x/opp", f"{tbe}:/own")
    slim = replace(LOCKED, name="modelslim-5.4")
    found = python_environment(slim, have, system=tmp_path)
    assert (found["ASCEND_OPP_PATH"], found["PYTHONPATH"]) == ("/x/opp", str(tbe))
    # What never meets an NPU waits for no script.
    assert python_environment(LOCKED, have, system=tmp_path) == {"PYTHONPATH": ""}


@pytest.mark.parametrize("version", [NEW, OLD, ""])
def test_nothing_of_the_working_folder_shadows_a_tools_modules(
    version: str, tbe: Path, tmp_path: Path
) -> None:
    """As far as 3.11 can show it: the words for 3.10 must do there, too."""
    work = tmp_path / "work"
    work.mkdir()
    for name in ("json", "runpy", "argparse", "tbe"):
        (work / f"{name}.py").write_text("raise SystemExit('shadowed')\n")
    toolchain = replace(OWN, python_version=version)
    env = {**os.environ, **python_environment(toolchain, {"PYTHONPATH": str(tbe)})}
    command = [*module_command(toolchain, "json.tool"), "--compact"]
    done = subprocess.run(
        command, input='{"a": 1}', capture_output=True, text=True, cwd=work, env=env, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ('{"a":1}', "")
    (tmp_path / "ours").mkdir()
    worker = tmp_path / "ours" / "worker.py"
    worker.write_text("import json, sys, tbe\nprint(json.dumps([sys.argv[1:], tbe.here]))\n")
    command = [*worker_command(toolchain, worker), "job"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=work, env=env, check=False)
    assert json.loads(done.stdout or done.stderr) == [["job"], True]
