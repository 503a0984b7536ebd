"""Installing a toolchain: a virtual environment, its lock installed by pip, the tool imported."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from registry.config import Settings
from registry.errors import IncompatibleError, ToolError
from registry.files import remove_tree, write_atomically
from registry.progress import Note, Observer, Progress, ignore
from toolchains.catalogue import Spec, spec_of
from toolchains.environment import PIP_SECRETS, tool_environment
from toolchains.installed import MARKER, Toolchain, find_toolchain, home_of, own_record, probe
from toolchains.process import run_tool

_COLLECTING = re.compile(r"^(?:Collecting|Requirement already satisfied:|Processing) (\S+)")


def install_toolchain(
    name: str, settings: Settings, *, python: Path | None = None, observe: Observer = ignore
) -> Toolchain:
    """Install a toolchain unless it is there already; an own environment is used no longer.

    An installation is complete when its marker is written, after the tool was imported; one that
    was interrupted before is removed and made again.

    Args:
        name: of the toolchain.
        settings: where toolchains live.
        python: the interpreter to build on; default: this one, else one on the PATH that fits.
        observe: is told each package.

    Raises:
        NotFoundError: no such toolchain.
        IncompatibleError: the machine lacks what it needs, or no interpreter fits.
        ToolError: pip failed, or the tool does not import.
    """
    spec = spec_of(name)
    if spec.missing:
        raise IncompatibleError(
            f"Toolchain {name} needs {spec.missing}",
            remedy="Install it first, or, inside the vendor's container, name the environment that "
            f"has the tool: qreg toolchain use {name} --python $(command -v python3) .",
        )
    home = home_of(spec, settings)
    settings.toolchains.mkdir(parents=True, exist_ok=True)
    with FileLock(settings.toolchains / f".{home.name}.lock"):
        if (home / MARKER).is_file() and (home / "bin" / "python").exists():
            remove_tree(own_record(name, settings))
            return find_toolchain(name, settings)
        base = python or find_interpreter(spec)
        remove_tree(home)
        log = settings.new_log(f"toolchain-{name}")
        _build(spec, base, home, log, observe)
        observe(Progress(f"importing {spec.distribution}"))
        target = home / "bin" / "python"
        record = {
            "python": str(target),
            "lock_digest": spec.lock_digest,
            **probe(spec, [str(target)]),
        }
        write_atomically(home / MARKER, json.dumps(record).encode())
        remove_tree(own_record(name, settings))
    return find_toolchain(name, settings)


def find_interpreter(spec: Spec) -> Path:
    """This process's own interpreter if the lock serves it, else the newest on the PATH that does.

    Raises:
        IncompatibleError: there is none.
    """
    oldest, newest = spec.python
    if oldest <= sys.version_info.minor <= newest:
        return Path(getattr(sys, "_base_executable", "") or sys.executable)
    for minor in range(newest, oldest - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found and _works(found):
            return Path(found)
    raise IncompatibleError(
        f"Toolchain {spec.name} needs Python 3.{oldest} to 3.{newest}, this is "
        f"3.{sys.version_info.minor} and no other is on the PATH",
        remedy=f"Install one and name it: qreg toolchain install {spec.name} --python PATH .",
    )


def _works(python: str) -> bool:
    env = tool_environment(os.environ)
    done = subprocess.run([python, "-c", ""], capture_output=True, env=env, check=False)
    return done.returncode == 0


def _build(spec: Spec, base: Path, home: Path, log: Path, observe: Observer) -> None:
    observe(Progress("making the environment", detail=str(home)))
    venv = [str(base), "-m", "venv", str(home)]
    pip = [str(home / "bin" / "python"), "-m", "pip"]
    if run_tool(venv, log=log).code != 0:
        # Debian ships Python without ensurepip: let the pip beside qreg install into it.
        remove_tree(home)
        _must([*venv, "--without-pip"], log, "making the virtual environment")
        pip = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python")]
    requirements = _requirements(spec.lock_file)
    seen: set[str] = set()

    def on_line(line: str) -> None:
        if match := _COLLECTING.match(line):
            package = match.group(1).rpartition("/")[2]
            seen.add(package)
            observe(
                Progress("fetching packages", len(seen), len(requirements), "packages", package)
            )
        elif line.startswith("Installing collected packages"):
            observe(Progress("installing packages", detail=f"{len(requirements)} packages"))

    options = ["install", "--no-input", "--progress-bar", "off", "--disable-pip-version-check"]
    lock = str(spec.lock_file)
    _must([*pip, *options, "--no-deps", "-r", lock], log, "installing the lock", on_line)
    torch = next((line for line in requirements if line.startswith("torch==")), None)
    if torch:
        # The lock leaves out the accelerator libraries that a torch wheel pins for itself: a CPU
        # wheel has none, a CUDA wheel names exactly those of its build.
        observe(Note(f"completing {torch} with the libraries that its own wheel names"))
        _must([*pip, *options, torch, "-c", lock], log, "installing torch's libraries")


def _requirements(lock: Path) -> list[str]:
    """The lock's requirements that apply here; markers as pip reads them."""
    from packaging.requirements import Requirement

    lines = [line.strip() for line in lock.read_text().splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return [f"{r.name}{r.specifier}" for r in found if r.marker is None or r.marker.evaluate()]


def _must(argv: list[str], log: Path, doing: str, on_line: object = None) -> None:
    handler = on_line if callable(on_line) else (lambda line: None)
    env = {"PYTHONUNBUFFERED": "1", "PIP_REQUIRE_VIRTUALENV": "0"}
    finished = run_tool(argv, log=log, env=env, on_line=handler, secrets=PIP_SECRETS)
    if finished.code != 0:
        lines = log.read_text(errors="replace").splitlines()
        problems = [line for line in lines if "ERROR" in line or "error:" in line]
        raise ToolError(
            f"pip failed while {doing} (exit code {finished.code})",
            remedy="Check the network and pip's configuration (pip config list); the whole log is "
            f"{log} . Run the same command again to start over.",
            details="\n".join((problems or lines)[-12:]),
        )
