"""Resolves the lock files anew: python -m toolchains.locks.compile (needs uv on the PATH).

Each `NAME.in` becomes `NAME.txt`, for all Python versions that the toolchain serves; that of
vllm-ascend becomes one lock a machine type, because torch_npu differs there.

Left out on purpose: torchvision, torchaudio and torchcodec, which the tools import only for images
and sound and whose builds on the default index are for CUDA; and torch's own accelerator libraries,
which the installation lets torch's wheel name for itself.

Every package has the hashes of its files, but for those of `hashes.UNHASHED`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from toolchains.catalogue import CATALOGUE, LOCKS, Spec
from toolchains.locks.hashes import UNHASHED, find_uv, with_hashes

_LEFT_OUT = ("torchvision", "torchaudio", "torchcodec", "triton", "triton-ascend")
_ACCELERATOR = re.compile(
    r"^(nvidia-(?!ml-py)|cuda-|triton|flashinfer|tilelang|torch-c-dlpack)", re.IGNORECASE
)
_MACHINES = ("x86_64", "aarch64")
# Not on the default index in this version; Ascend's own index has it.
_ASCEND_EXTRA = "triton-ascend==3.2.2"


def main() -> None:
    uv = find_uv()
    for spec in CATALOGUE:
        if "{machine}" in spec.lock:
            for machine in _MACHINES:
                platform = ["--python-platform", f"{machine}-manylinux_2_34"]
                _write(uv, spec, spec.lock.format(machine=machine), _resolve(uv, spec, platform))
        elif spec.lock:
            _write(uv, spec, spec.lock, _resolve(uv, spec, ["--universal"]))


def _resolve(uv: str, spec: Spec, target: list[str]) -> list[str]:
    source = LOCKS / f"{spec.name}.in"
    torch = next(line for line in source.read_text().splitlines() if line.startswith("torch=="))
    with tempfile.TemporaryDirectory() as folder:
        overrides = Path(folder, "overrides.txt")
        never = [f'{name} ; python_version < "3"' for name in _LEFT_OUT]
        overrides.write_text("\n".join([torch, *never]) + "\n")
        command = [uv, "pip", "compile", "--quiet", "--no-annotate", "--no-header"]
        command += ["--python-version", f"3.{spec.python[0]}", "--override", str(overrides)]
        # vllm-ascend's source distribution asks for these even when only its metadata is read.
        build = {"COMPILE_CUSTOM_KERNELS": "0", "SOC_VERSION": "ascend910b1"}
        done = subprocess.run(
            [*command, *target, str(source)],
            env={**os.environ, **build},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        sys.exit(f"{spec.name}: {done.stderr}")
    return [line for line in done.stdout.splitlines() if line and not _ACCELERATOR.match(line)]


def _write(uv: str, spec: Spec, name: str, pins: list[str]) -> None:
    if spec.needs:
        pins = sorted([*pins, _ASCEND_EXTRA])
    lines = [*header(spec), *with_hashes(uv, pins, f"3.{spec.python[0]}")]
    (LOCKS / name).write_text("\n".join(lines) + "\n")
    print(f"{name}: {len(pins)} packages")


def header(spec: Spec) -> list[str]:
    """The comments at the top of a toolchain's lock."""
    excepted = UNHASHED if spec.needs else ("torch",)
    lines = [
        f"# Complete lock of the {spec.name} toolchain, made by `make locks` from {spec.name}.in .",
        "# pip installs it with --no-deps --require-hashes. What has no hash here is installed by",
        f"# a call of its own, by its version alone: {' and '.join(excepted)}. Which file torch",
        "# is, the user's index decides (for CPUs, CUDA). The accelerator libraries that torch's",
        "# wheel pins are left out; pip installs them after it, by the versions that it names.",
    ]
    if spec.needs:
        lines.append("# triton-ascend comes from Ascend's package index, torch from PyTorch's.")
    return lines


if __name__ == "__main__":
    main()
