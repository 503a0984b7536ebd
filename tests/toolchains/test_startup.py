"""What each Python process of a toolchain does first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from toolchains import startup

# As vLLM starts its workers: by multiprocessing's spawn, from a process that ignores PYTHONPATH.
_PARENT = """
import multiprocessing, sys

def tell(queue):
    import ctypes, os, sys
    granted = ctypes.c_uint64()
    if os.uname().machine == "x86_64":
        ctypes.CDLL(None).syscall(158, 0x1022, ctypes.byref(granted))  # ARCH_GET_XCOMP_PERM
    queue.put(("qreg_amx" in sys.modules, bool(granted.value >> 18 & 1)))

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    worker = context.Process(target=tell, args=(queue,))
    worker.start()
    print(*queue.get(timeout=60))
    worker.join()
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("toolchain")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    return home / "bin" / "python"


def test_processes_that_a_tool_starts_by_itself_ask_for_the_tiles(
    environment: Path, tmp_path: Path
) -> None:
    startup.place("qreg_amx", environment)
    startup.place("qreg_amx", environment)  # installing again changes nothing
    program = tmp_path / "parent.py"
    program.write_text(_PARENT)
    told = subprocess.run(
        [str(environment), "-I", str(program)], capture_output=True, text=True, check=True
    ).stdout.split()
    tiles = "amx_tile" in Path("/proc/cpuinfo").read_text().split()
    assert told == ["True", str(tiles)]
