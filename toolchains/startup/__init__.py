"""What every Python process of a toolchain does first.

A module of this folder is copied into the environment, with a `.pth` file that imports it: that is
the one place which also those processes pass that a tool starts by itself, with `-I` too.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_FOLDER = Path(__file__).parent
_SITE = "import sysconfig; print(sysconfig.get_path('purelib'))"


def place(module: str, python: Path) -> None:
    """Let all processes of an environment begin with a module of this folder.

    Args:
        module: its name.
        python: the environment's interpreter.
    """
    argv = [str(python), "-I", "-c", _SITE]
    told = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
    shutil.copyfile(_FOLDER / f"{module}.py", Path(told, f"{module}.py"))
    Path(told, f"{module}.pth").write_text(f"import {module}\n", encoding="utf-8")
