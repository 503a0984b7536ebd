"""How a toolchain's Python is started: its words, and its environment.

`-s` and `-P` keep the user's home and working folder from the tool's modules as `-I` would, and let
PYTHONPATH through; `toolchains.pythonpath` says what of it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from registry.progress import Observer, ignore
from toolchains.cann import SYSTEM, Cann, cann_environment
from toolchains.installed import Toolchain
from toolchains.pythonpath import start_environment

# Ascend's own tools. An interpreter that the user named for another may have torch_npu, too.
_OF_ASCEND = ("vllm-ascend", "modelslim")
# Before 3.11 Python has no -P, and puts the working folder first. Before that is undone `sys` alone
# is imported, and that is no file.
_MODULE = (
    "import sys; sys.path.pop(0); import runpy; sys.argv[:] = sys.argv[1:]; "
    "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
)


def module_command(toolchain: Toolchain, module: str) -> list[str]:
    """The words that run a module of a toolchain, as `python -m` does."""
    python = str(toolchain.python)
    if _has_safe_path(toolchain.python_version):
        return [python, "-s", "-P", "-m", module]
    return [python, "-s", "-c", _MODULE, module]


def worker_command(toolchain: Toolchain, worker: Path) -> list[str]:
    """The words that run one of our own scripts in a toolchain.

    Before 3.11 its folder is searched first; there is nothing in it but such scripts.
    """
    python = str(toolchain.python)
    safe = ["-P"] if _has_safe_path(toolchain.python_version) else []
    return [python, "-s", *safe, str(worker)]


def python_environment(
    toolchain: Toolchain,
    environ: Mapping[str, str] | None = None,
    *,
    whole: bool = False,
    observe: Observer = ignore,
    system: Path = SYSTEM,
) -> dict[str, str]:
    """What to add to this process's environment for a tool of a toolchain.

    Args:
        toolchain: Ascend's own tools, and interpreters that the user named, get CANN's variables,
            too, where nobody has sourced its `set_env.sh`.
        environ: of this process by default.
        whole: whether all of PYTHONPATH is for it, as for a script of the user's.
        observe: is told what was sourced, or why it was not.
        system: where root installs CANN.
    """
    have = os.environ if environ is None else environ
    cann = Cann()
    if toolchain.name.startswith(_OF_ASCEND) or not toolchain.lock_digest:
        cann = cann_environment(have, system=system, python=toolchain.python)
        for note in cann.notes:
            observe(note)
    return start_environment(have, cann, own=whole or not toolchain.lock_digest)


def _has_safe_path(version: str) -> bool:
    """Whether a Python has `-P`, which came with 3.11; a version that is not known has it not."""
    parts = version.split(".")
    return len(parts) > 1 and parts[1].isdigit() and (int(parts[0]), int(parts[1])) >= (3, 11)
