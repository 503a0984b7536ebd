"""Which toolchains this machine has: made by qreg, or an interpreter that the user named.

TOOLCHAINS/NAME-LOCKDIGEST/                      a virtual environment
TOOLCHAINS/NAME-LOCKDIGEST/qreg-toolchain.json   written last: the installation is complete
TOOLCHAINS/NAME.json                             `{"python": PATH}`, from `qreg toolchain use`
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from registry.config import Settings
from registry.errors import NotFoundError, ToolError
from registry.files import remove_tree, require_own, write_atomically
from registry.progress import Observer, ignore
from toolchains.cann import cann_environment
from toolchains.catalogue import Spec, spec_of
from toolchains.process import run_tool
from toolchains.pythonpath import start_environment

MARKER = "qreg-toolchain.json"
_PROBE = """
import importlib, importlib.metadata as m, json, platform, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print("qreg-probe:" + json.dumps({
    "python": platform.python_version(),
    "versions": {d.metadata["Name"]: d.version for d in m.distributions() if d.metadata["Name"]},
}))
"""


@dataclass(frozen=True)
class Toolchain:
    """A toolchain that can be used.

    Attributes:
        name: the toolchain's.
        python: its interpreter.
        version: of the tool itself; empty where it could not be told.
        lock_digest: sha256 of the lock it was installed from; empty for the user's own.
        versions: of all its packages.
        python_version: of its interpreter; empty where it is not written down.
    """

    name: str
    python: Path
    version: str
    lock_digest: str
    versions: dict[str, str]
    python_version: str = ""


def home_of(spec: Spec, settings: Settings) -> Path:
    """Where qreg installs a toolchain."""
    return settings.toolchains / f"{spec.name}-{spec.lock_digest[:12]}"


def own_record(name: str, settings: Settings) -> Path:
    """Where it is written down that a toolchain is an environment of the user's."""
    return settings.toolchains / f"{name}.json"


def find_toolchain(name: str, settings: Settings) -> Toolchain:
    """The toolchain to use: the user's own if one is named, else the one that qreg installed.

    Raises:
        NotFoundError: unknown or not installed.
        ToolError: its interpreter is gone.
    """
    spec = spec_of(name)
    # What is written there is run: nobody else's counts.
    require_own(settings.toolchains, "The toolchains' folder")
    chosen = own_record(name, settings)
    require_own(chosen, "What names a toolchain,")
    marker = chosen if chosen.is_file() else home_of(spec, settings) / MARKER
    try:
        record = json.loads(marker.read_text())
    except FileNotFoundError as error:
        raise NotFoundError(
            f"Toolchain {name} is not installed",
            remedy=f"Install it: qreg toolchain install {name} ; or name an environment that has "
            f"it: qreg toolchain use {name} --python PATH .",
        ) from error
    python = Path(record["python"])
    if not python.exists():
        again = "use" if marker == chosen else "install"
        raise ToolError(
            f"The interpreter of toolchain {name} is gone: {python}",
            remedy=f"Run `qreg toolchain remove {name}`, then `qreg toolchain {again} {name}`.",
        )
    return Toolchain(
        name,
        python,
        record["versions"].get(spec.distribution, ""),
        record.get("lock_digest", ""),
        record["versions"],
        record.get("python_version", ""),
    )


def use_interpreter(
    name: str, python: Path, settings: Settings, observe: Observer = ignore
) -> Toolchain:
    """Take an environment of the user's as a toolchain, after importing the tool in it.

    Where CANN is installed and nobody has sourced its `set_env.sh`, the tool sees what that sets;
    `observe` is told so.

    Raises:
        NotFoundError: no such interpreter.
        ToolError: the tool does not import in it.
    """
    spec = spec_of(name)
    # Not resolved: the path through a virtual environment's link is what makes it that environment.
    python = python.expanduser().absolute()
    if not python.is_file():
        raise NotFoundError(f"There is no interpreter {python}", remedy="Give the path of python.")
    record = {"python": str(python), **probe(spec, [str(python)], own=True, observe=observe)}
    write_atomically(own_record(name, settings), json.dumps(record).encode())
    return find_toolchain(name, settings)


def remove_toolchain(name: str, settings: Settings) -> list[Path]:
    """Forget the user's interpreter and delete what qreg installed, of every lock.

    Returns:
        What was removed; the user's own environment is never touched.
    """
    spec_of(name)
    removed = [p for p in (own_record(name, settings),) if p.exists()]
    prefix = f"{name}-"
    if settings.toolchains.is_dir():
        removed += [
            path
            for path in settings.toolchains.iterdir()
            if path.is_dir()
            and path.name[: len(prefix)] == prefix
            and len(path.name) == len(prefix) + 12
        ]
    for path in removed:
        if path.is_dir():
            (path / MARKER).unlink(missing_ok=True)  # first: an interrupted removal leaves none
        remove_tree(path)
    return removed


def probe(
    spec: Spec, python: Sequence[str], *, own: bool = False, observe: Observer = ignore
) -> dict[str, object]:
    """Import the tool in an interpreter; returns `{"python": version, "versions": {…}}`.

    Args:
        spec: of the toolchain.
        python: the interpreter's words.
        own: whether the user named it, see `toolchains.pythonpath`.
        observe: is told what of CANN was sourced.

    Raises:
        ToolError: an import fails, with the last lines of the reason.
    """
    cann = cann_environment(python=Path(python[0]))
    for note in cann.notes:
        observe(note)
    env = start_environment(os.environ, cann, own=own)
    with tempfile.TemporaryDirectory(prefix="qreg-probe-") as folder:
        log = Path(folder, "log")
        # `-c` searches the working folder first, and this one is empty but for the log.
        run_tool([*python, "-s", "-c", _PROBE, *spec.probe], log=log, env=env, cwd=Path(folder))
        lines = log.read_text(errors="replace").splitlines()
    for line in lines:
        if line.startswith("qreg-probe:"):
            found = json.loads(line.removeprefix("qreg-probe:"))
            return {"versions": found["versions"], "python_version": found["python"]}
    raise ToolError(
        f"{', '.join(spec.probe)} cannot be imported by {python[0]}",
        remedy="The last lines below say why. A torch built for CUDA on a machine without it is "
        "the usual reason: see 'CPU-only machines' in the README.",
        details="\n".join(lines[-3:]),
    )
