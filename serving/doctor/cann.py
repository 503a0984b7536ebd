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
    scripts = find_scripts(environ, system)
    toolkit = next((path for path in scripts if path.parent.name != "atb"), None)
    if is_set_up(environ):
        yield Check("cann-environment", OK, "CANN's variables are set")
    else:
        yield _unset("cann-environment", "CANN", toolkit, _script(home), home)
    roots = dict.fromkeys((system, home.parent, home.parent.parent))
    atb = next((root / "nnal" for root in roots if (root / "nnal").is_dir()), None)
    if atb is None and not environ.get("ATB_HOME_PATH"):
        yield Check(
            "nnal", WARNING, "NNAL, with the ATB that vLLM Ascend's attention needs, was not found",
            f"Install Ascend-cann-nnal {version} and source its nnal/atb/set_env.sh .".replace(
                "  ", " "
            ),
        )  # fmt: skip
    elif environ.get("ATB_HOME_PATH"):
        yield Check("nnal", OK, "NNAL's variables are set")
    else:
        place = atb or home
        own = next((path for path in scripts if path.parent.name == "atb"), None)
        yield _unset("nnal", "NNAL", own, place / "atb" / "set_env.sh", place)


def _unset(identifier: str, what: str, found: Path | None, usual: Path, place: Path) -> Check:
    """What it means that variables are not set in this shell.

    Args:
        identifier: of the check.
        what: whose variables.
        found: the script that qreg sources for its tools, see `toolchains.cann`; None if none.
        usual: the script that the user can source.
        place: where it is installed.
    """
    text = f"{what}'s variables are not set in this shell"
    problem = untrusted(found) if found else text
    if found and not problem:
        return Check(identifier, OK, f"{text}; qreg takes them from {found}", "", str(place))
    fix = f"source {usual} , in a service's unit, too."
    return Check(identifier, WARNING, problem, fix, str(place))


def _script(home: Path) -> Path:
    found = [path / "set_env.sh" for path in (home, home.parent)]
    return next((path for path in found if path.is_file()), found[0])
