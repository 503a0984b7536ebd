"""CANN and NNAL as they are installed: versions, and whether their variables are set.

CANN installs itself as `ascend-toolkit` or `cann-VERSION` below `/usr/local/Ascend`, or below
`~/Ascend`; `ascend_toolkit_install.info` and `version.info` tell the version, as do the names of
the folders (CANN 8.0 to 9.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from registry.doctor import ERROR, OK, WARNING, Check
from toolchains.cann import SYSTEM, find_scripts, is_set_up, untrusted

_HOMES = ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME")
_TOOLKITS = ("ascend-toolkit/latest", "cann", "latest")
_FILES = (
    "*-linux/ascend_toolkit_install.info",
    "ascend_toolkit_install.info",
    "*-linux/ascend_cann_install.info",
    "compiler/version.info",
    "runtime/version.info",
    "version.info",
)
_VERSION = re.compile(r"^\s*version\s*[=:]\s*\[?v?(\d[\w.]*)", re.IGNORECASE | re.MULTILINE)
_FOLDER = re.compile(r"(?:cann-)?(\d+\.\d+(?:\.[\w]+)*)\Z")


def version_in(path: Path) -> str:
    """The version that a file of Ascend's packages tells, `8.3.RC1`; empty where it tells none."""
    try:
        found = _VERSION.search(path.read_text(errors="replace")[:20000])
    except OSError:
        return ""
    return found.group(1).rstrip(".") if found else ""


def home_of_cann(environ: Mapping[str, str], system: Path = SYSTEM) -> Path | None:
    """The toolkit's folder: where the variables say, else where it is usually installed."""
    told = [Path(environ[name]) for name in _HOMES if environ.get(name, "").startswith("/")]
    roots = [system]
    if environ.get("HOME", "").startswith("/"):
        roots.append(Path(environ["HOME"]) / "Ascend")
    usual = [root / name for root in roots for name in _TOOLKITS]
    usual += [path for root in roots for path in sorted(root.glob("cann-*"), reverse=True)]
    return next((path for path in (*told, *usual) if path.is_dir()), None)


def cann_version(home: Path) -> str:
    """The version of the toolkit in a folder; empty where nothing tells it."""
    for pattern in _FILES:
        for path in sorted(home.glob(pattern)):
            if version := version_in(path):
                return version
    for folder in (home.resolve(), home.resolve().parent):
        if found := _FOLDER.search(folder.name):
            return found.group(1)
    return ""


def cann(environ: Mapping[str, str], system: Path = SYSTEM) -> Iterator[Check]:
    """Whether CANN and NNAL are there and set up."""
    home = home_of_cann(environ, system)
    if home is None:
        yield Check(
            "cann", ERROR, f"CANN was not found below {system}",
            "Install the toolkit, the kernels of the chip and NNAL, all of one version, or use "
            "vLLM Ascend's image.",
        )  # fmt: skip
        return
    version = cann_version(home)
    name = f"CANN {version}" if version else "CANN, of a version that its files do not tell,"
    yield Check("cann", OK, f"{name} is in {home}", "", str(home))
    yield _variables("cann-environment", "CANN", is_set_up(environ), environ, system, home)
    roots = dict.fromkeys((system, home.parent, home.parent.parent))
    atb = next((root / "nnal" for root in roots if (root / "nnal").is_dir()), None)
    if atb is None and not environ.get("ATB_HOME_PATH"):
        yield Check(
            "nnal", WARNING, "NNAL, with the ATB that vLLM Ascend's attention needs, was not found",
            f"Install Ascend-cann-nnal {version} and source its nnal/atb/set_env.sh .".replace(
                "  ", " "
            ),
        )  # fmt: skip
    else:
        yield _variables(
            "nnal", "NNAL", bool(environ.get("ATB_HOME_PATH")), environ, system, atb or home
        )


def _variables(
    identifier: str, what: str, set_up: bool, environ: Mapping[str, str], system: Path, place: Path
) -> Check:
    """Whether variables are set here, or by qreg for its tools, see `toolchains.cann`."""
    if set_up:
        return Check(identifier, OK, f"{what}'s variables are set")
    script = place / "atb" / "set_env.sh" if what == "NNAL" else _script(place)
    for found in find_scripts(environ, system):
        if found.parent.name == "atb" if what == "NNAL" else found.parent.name != "atb":
            if problem := untrusted(found):
                break
            text = f"{what}'s variables are not set in this shell; qreg takes them from {found}"
            return Check(identifier, OK, text, "", str(place))
    else:
        problem = f"{what}'s variables are not set in this shell"
    fix = f"source {script} , in a service's unit, too."
    return Check(identifier, WARNING, problem, fix, str(place))


def _script(home: Path) -> Path:
    found = [path / "set_env.sh" for path in (home, home.parent)]
    return next((path for path in found if path.is_file()), found[0])
