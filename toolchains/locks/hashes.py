"""The hashes of a lock: python -m toolchains.locks.hashes PYTHON FILE… (needs uv on the PATH).

Gives every pinned package of the files the sha256 of all files that the package index has of that
version, and changes nothing else. PYTHON is the oldest version that the locks serve, such as 3.10.
`make locks` does the same for the toolchains' locks; this is for a lock that is kept by hand.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

# torch: the user's own index decides which file it is, one for CPUs or one for CUDA.
# triton-ascend: the default index lacks this version, only Ascend's own has it.
UNHASHED = ("torch", "triton-ascend")


def main(arguments: Sequence[str]) -> None:
    uv = find_uv()
    if len(arguments) < 2:
        sys.exit("python -m toolchains.locks.hashes PYTHON FILE…")
    python, *files = arguments
    for path in map(Path, files):
        lines = path.read_text().splitlines()
        comments = [line for line in lines if line.startswith("#")]
        requirements = [line.rstrip("\\ ") for line in lines if line and line[0] not in "# "]
        path.write_text("\n".join([*comments, *with_hashes(uv, requirements, python)]) + "\n")
        print(f"{path}: {len(requirements)} packages")


def find_uv() -> str:
    """The path of uv; ends the program where there is none."""
    uv = shutil.which("uv")
    if uv is None:
        sys.exit("uv is not on the PATH: pip install uv")
    return uv


def with_hashes(uv: str, requirements: Sequence[str], python: str) -> list[str]:
    """The lines of a lock.

    Args:
        uv: the path of uv.
        requirements: `NAME==VERSION`, with a marker where one is needed; no hashes. Their order
            is kept.
        python: the oldest version of Python that the lock serves.
    """
    hashed = [line for line in requirements if line.partition("==")[0] not in UNHASHED]
    with tempfile.TemporaryDirectory() as folder:
        pins = Path(folder, "pins.txt")
        pins.write_text("\n".join(hashed) + "\n")
        command = [uv, "pip", "compile", "--quiet", "--no-annotate", "--no-header", "--no-deps"]
        command += ["--universal", "--python-version", python, "--generate-hashes", str(pins)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stderr)
    found = {}
    for item in done.stdout.replace("\n    ", "\0").splitlines():
        found[item.partition(" \\\0")[0]] = item.replace("\0", "\n    ")
    bare = [line for line in hashed if "--hash=" not in found.get(line, "")]
    if bare:
        sys.exit(f"The index has no hashes of {', '.join(bare)}")
    return [found.get(line, line) for line in requirements]


if __name__ == "__main__":
    main(sys.argv[1:])
