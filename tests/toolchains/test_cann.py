"""CANN's variables where nobody sourced its `set_env.sh`.

The scripts here are stand-ins of the shape that CANN's and NNAL's have: exports that put folders
before what is there, found relative to BASH_SOURCE, with options read from the script's own words.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from toolchains.cann import cann_environment, find_scripts, is_set_up, untrusted

_TOOLKIT = """#!/bin/bash
export ASCEND_TOOLKIT_HOME="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/latest"
export LD_LIBRARY_PATH=${ASCEND_TOOLKIT_HOME}/lib64/plugin:$LD_LIBRARY_PATH
export LD_LIBRARY_PATH=${ASCEND_TOOLKIT_HOME}/lib64:$LD_LIBRARY_PATH
export PYTHONPATH=${ASCEND_TOOLKIT_HOME}/python/site-packages:${ASCEND_TOOLKIT_HOME}/tbe:$PYTHONPATH
export PATH=${ASCEND_TOOLKIT_HOME}/bin:$PATH
export ASCEND_AICPU_PATH=${ASCEND_TOOLKIT_HOME}
export ASCEND_OPP_PATH=${ASCEND_TOOLKIT_HOME}/opp
export ASCEND_HOME_PATH=${ASCEND_TOOLKIT_HOME}
echo "environment set"
"""
_ATB = """
cxx_abi=none
for i in "$@"; do case "${i}" in --cxx_abi=*) cxx_abi=${i#*=} ;; *) echo "bad option $i" ; return ;;
esac; done
[ -n "$ASCEND_HOME_PATH" ] || return 1
export ATB_HOME_PATH="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/cxx_abi_$cxx_abi"
export LD_LIBRARY_PATH=$ATB_HOME_PATH/lib:$LD_LIBRARY_PATH
export ATB_STREAM_SYNC=0
[ -f /nowhere ] && echo never
"""


@pytest.fixture
def ascend(tmp_path: Path) -> Path:
    """An installation by root; ours, as the tests run as whoever they run as."""
    root = tmp_path / "Ascend"
    _script(root / "ascend-toolkit/set_env.sh", _TOOLKIT)
    _script(root / "nnal/atb/set_env.sh", _ATB)
    return root


def _script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True)
    path.parent.chmod(0o755)
    path.write_text(text)
    path.chmod(0o644)
    return path


def test_what_the_scripts_set_is_added_and_what_is_there_stays(ascend: Path) -> None:
    have = {
        "PATH": "/usr/bin:/bin",
        "LD_LIBRARY_PATH": "/opt/own",
        "ATB_STREAM_SYNC": "1",
        "HF_TOKEN": "secret",
    }
    found = cann_environment(have, system=ascend)
    home = f"{ascend}/ascend-toolkit/latest"
    assert found.problem == ""
    assert found.variables["ASCEND_HOME_PATH"] == home
    assert found.variables["ATB_HOME_PATH"] == f"{ascend}/nnal/atb/cxx_abi_none"
    assert found.variables["LD_LIBRARY_PATH"].split(":") == [
        f"{ascend}/nnal/atb/cxx_abi_none/lib",
        f"{home}/lib64",
        f"{home}/lib64/plugin",
        "/opt/own",
    ]
    # No empty part is left, which would be the working folder.
    assert found.variables["PYTHONPATH"] == f"{home}/python/site-packages:{home}/tbe"
    assert found.variables["PATH"] == f"{home}/bin:/usr/bin:/bin"
    # Exported by the user, so it wins; bash's own variables and secrets are none of the script's.
    assert not {"ATB_STREAM_SYNC", "SHLVL", "_", "PWD", "HF_TOKEN"} & set(found.variables)
    assert str(found.scripts[0]) in found.notes[0].text


def test_nothing_is_sourced_twice(ascend: Path) -> None:
    have = {"PATH": os.environ["PATH"]}
    done = {**have, **cann_environment(have, system=ascend).variables}
    assert is_set_up(done)
    assert cann_environment(done, system=ascend).variables == {}
    without_atb = {k: v for k, v in done.items() if k != "ATB_HOME_PATH"}
    assert find_scripts(without_atb, ascend) == (ascend / "nnal/atb/set_env.sh",)


def test_cann_is_found_where_its_user_or_its_variable_says(ascend: Path, tmp_path: Path) -> None:
    own = _script(tmp_path / "home/Ascend/cann/set_env.sh", _TOOLKIT)
    nowhere = tmp_path / "nowhere"
    assert find_scripts({"HOME": str(tmp_path / "home")}, nowhere) == (own,)
    # The variable alone says where it is, not that it was sourced.
    told = {"ASCEND_HOME_PATH": f"{ascend}/ascend-toolkit/latest"}
    assert find_scripts(told, nowhere)[0] == ascend / "ascend-toolkit/set_env.sh"
    # Another installation is not what the user named.
    assert find_scripts({"ASCEND_HOME_PATH": "/nowhere"}, ascend) == ()


def test_where_there_is_no_cann_nothing_is_said(tmp_path: Path) -> None:
    found = cann_environment({"HOME": str(tmp_path)}, system=tmp_path)
    assert (found.variables, found.notes) == ({}, ())


@pytest.mark.parametrize("place", ["file", "folder"])
def test_a_script_that_others_can_write_is_not_run(ascend: Path, place: str) -> None:
    script = ascend / "ascend-toolkit/set_env.sh"
    script.write_text(f"touch {ascend}/was-run\nexport ASCEND_OPP_PATH=/x\n")
    (script if place == "file" else script.parent).chmod(0o777)
    found = cann_environment({"PATH": os.environ["PATH"]}, system=ascend)
    assert "others can write" in found.problem
    assert found.notes[-1].warning and found.variables == {}
    assert not (ascend / "was-run").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_script_of_another_user_is_not_run(ascend: Path) -> None:
    script = ascend / "ascend-toolkit/set_env.sh"
    os.chown(script, 12345, 12345)
    assert "belongs to user 12345" in untrusted(script)


def test_a_script_that_hangs_or_fails_is_told(ascend: Path) -> None:
    script = ascend / "ascend-toolkit/set_env.sh"
    have = {"PATH": os.environ["PATH"]}
    script.write_text("sleep 60 &\nsleep 60\n")
    began = time.monotonic()
    found = cann_environment(have, system=ascend, limit=0.5)
    assert time.monotonic() - began < 5 and "within 0.5 seconds" in found.problem
    for text in ("echo 'no driver' >&2\nexit 3\n", "echo 'no driver' >&2\n"):
        script.write_text(text)
        found = cann_environment(have, system=ascend)
        assert "no driver" in found.problem and not found.variables


def test_what_worked_is_used_where_atb_fails(ascend: Path) -> None:
    (ascend / "nnal/atb/set_env.sh").write_text("exit 1\n")
    found = cann_environment({"PATH": os.environ["PATH"]}, system=ascend)
    assert "ASCEND_OPP_PATH" in found.variables and "nnal/atb" in found.problem
