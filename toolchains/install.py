"""Installing a toolchain: a virtual environment, its lock installed by pip, the tool imported."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from filelock import FileLock

from registry.config import Settings
from registry.errors import IncompatibleError, ToolError
from registry.files import remove_tree, write_atomically
from registry.progress import Note, Observer, Progress, ignore
from toolchains import startup
from toolchains.catalogue import Spec, spec_of
from toolchains.environment import PIP_SECRETS, tool_environment
from toolchains.installed import MARKER, Toolchain, find_toolchain, home_of, own_record, probe
from toolchains.lock import read_lock, steps
from toolchains.process import run_tool

# pip's words in hash mode, before it names the file, what was expected, and what it got.
_OTHER_BYTES = "DO NOT MATCH THE HASHES"
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
        ToolError: pip failed, a file is not the one that the lock names by its hash, or the tool
            does not import.
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
            if spec.startup:  # an older qreg may have installed it
                startup.place(spec.startup, home / "bin" / "python")
            remove_tree(own_record(name, settings))
            return find_toolchain(name, settings)
        base = python or find_interpreter(spec)
        remove_tree(home)
        log = settings.new_log(f"toolchain-{name}")
        try:
            _build(spec, base, home, log, observe)
        except ToolError:
            remove_tree(home)
            raise
        target = home / "bin" / "python"
        if spec.startup:
            startup.place(spec.startup, target)
        observe(Progress(f"importing {spec.distribution}"))
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
    pins = read_lock(spec.lock_file)
    expected = sum(pin.applies for pin in pins)
    seen: set[str] = set()

    def on_line(line: str) -> None:
        if match := _COLLECTING.match(line):
            package = match.group(1).rpartition("/")[2]
            seen.add(package)
            observe(Progress("fetching packages", len(seen), expected, "packages", package))
        elif line.startswith("Installing collected packages"):
            observe(Progress("installing packages", detail=f"{expected} packages"))

    options = ["install", "--no-input", "--progress-bar", "off", "--disable-pip-version-check"]
    with tempfile.TemporaryDirectory(prefix="qreg-lock-") as folder:
        for step in steps(pins, Path(folder)):
            if not step.hashed:
                observe(Note(step.doing))
            follow = on_line if step.counted else None
            _must([*pip, *options, *step.arguments], log, step.doing, follow)


def _must(argv: list[str], log: Path, doing: str, on_line: object = None) -> None:
    handler = on_line if callable(on_line) else (lambda line: None)
    env = {"PYTHONUNBUFFERED": "1", "PIP_REQUIRE_VIRTUALENV": "0"}
    finished = run_tool(argv, log=log, env=env, on_line=handler, secrets=PIP_SECRETS)
    if finished.code != 0:
        lines = log.read_text(errors="replace").splitlines()
        for number, line in enumerate(lines):
            if _OTHER_BYTES in line:
                raise ToolError(
                    f"pip refused a file while {doing}: it is not the one that the lock names",
                    remedy="Do not install it by other means. A package index, mirror or proxy "
                    "serves other bytes than those that the lock was made from: ask who runs it "
                    f"(pip config list names it). The whole log is {log} .",
                    details="\n".join(lines[number : number + 12]),
                )
        problems = [line for line in lines if "ERROR" in line or "error:" in line]
        raise ToolError(
            f"pip failed while {doing} (exit code {finished.code})",
            remedy="Check the network and pip's configuration (pip config list); the whole log is "
            f"{log} . Run the same command again to start over.",
            details="\n".join((problems or lines)[-12:]),
        )
