"""CANN's variables for tools that start where nobody has sourced its `set_env.sh`.

torch_npu finds libraries by LD_LIBRARY_PATH, operators by ASCEND_OPP_PATH and the modules of the
compiler (`tbe`, `te`) by PYTHONPATH. Ascend's images set all of them; an ssh session, a service
or a cron job has none, and a tool fails minutes later: `libhccl.so: cannot open shared object
file`. So the script is looked for where CANN is installed, sourced by a bash of its own, and what
it changed is given to the tool.

CANN 8.0 to 9.1 installs the toolkit in `/usr/local/Ascend/ascend-toolkit` or `…/cann`, and NNAL,
with ATB, in `…/nnal/atb`; below `~/Ascend` where it was not installed by root.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from registry.progress import Note
from toolchains.environment import tool_environment

TOOLKIT_SCRIPTS = ("ascend-toolkit/set_env.sh", "cann/set_env.sh")
ATB_SCRIPT = "nnal/atb/set_env.sh"
SYSTEM = Path("/usr/local/Ascend")
TIME_LIMIT = 30.0  # seconds for one script; ATB's imports torch to see how it was built
# Lists of folders: what a script adds stands before what is there.
_LISTS = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH")
# What bash itself sets.
_OWN = frozenset({"_", "SHLVL", "PWD", "OLDPWD", "BASHOPTS", "SHELLOPTS"})
_HOMES = ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME")
# `shift`: a sourced script would take the words of this one for its own.
_SOURCE = 'script=$1; shift; source "$script" >/dev/null </dev/null; exec /usr/bin/env -0'


@dataclass(frozen=True)
class Cann:
    """What is to be done about CANN's variables.

    Attributes:
        variables: to add to a tool's environment, with their whole values; empty where they are
            set already or CANN is not installed.
        scripts: that were sourced for it.
        problem: why a script that is there was not used, in a sentence; else empty.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    scripts: tuple[Path, ...] = ()
    problem: str = ""

    @property
    def notes(self) -> tuple[Note, ...]:
        """What the user is told; nothing where nothing had to be done."""
        found = []
        if self.scripts:
            names = " and ".join(map(str, self.scripts))
            found.append(Note(f"CANN was not set up here: the tool gets what {names} sets"))
        if self.problem:
            found.append(Note(f"{self.problem}. Source it yourself before qreg.", warning=True))
        return tuple(found)


def cann_environment(
    environ: Mapping[str, str] | None = None,
    *,
    system: Path = SYSTEM,
    python: Path | None = None,
    limit: float = TIME_LIMIT,
) -> Cann:
    """Find CANN's scripts where they were not sourced, and what they would set; never raises.

    Args:
        environ: of this process by default.
        system: where root installs CANN.
        python: the tool's interpreter; ATB's script asks the first `python3` for its torch.
        limit: seconds that one script may take.
    """
    before = dict(os.environ if environ is None else environ)
    scripts = find_scripts(before, system)
    if not scripts:
        return Cann()
    now = tool_environment({k: v for k, v in before.items() if k not in ("BASH_ENV", "ENV")})
    if python is not None:
        now["PATH"] = os.pathsep.join([str(python.parent), now.get("PATH", os.defpath)])
    base = dict(now)
    sourced: list[Path] = []
    problem = ""
    for script in scripts:
        problem = untrusted(script)
        if problem:
            break
        after = _sourced(script, now, limit)
        if isinstance(after, str):
            problem = after
            break
        now = after
        sourced.append(script)
    return Cann(_changes(base, now, before), tuple(sourced), problem)


def is_set_up(environ: Mapping[str, str]) -> bool:
    """Whether the toolkit's `set_env.sh` was sourced.

    ASCEND_HOME_PATH alone only says where CANN is: people export it for builds.
    """
    if environ.get("ASCEND_OPP_PATH"):
        return True
    libraries = environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    return any(entry.startswith(f"{home}/") for home in _homes(environ) for entry in libraries)


def find_scripts(environ: Mapping[str, str], system: Path = SYSTEM) -> tuple[Path, ...]:
    """The scripts that are there and were not sourced: the toolkit's, then ATB's.

    Args:
        environ: tells what was sourced, and with ASCEND_HOME_PATH or ASCEND_TOOLKIT_HOME where
            CANN is; then no other place is looked at for the toolkit.
        system: where root installs CANN.
    """
    roots = [system, *_below_home(environ)]
    homes = [Path(home) for home in _homes(environ)]
    toolkits = [root / name for root in roots for name in TOOLKIT_SCRIPTS]
    if homes:
        toolkits = [folder / "set_env.sh" for home in homes for folder in (home, home.parent)]
        roots = [
            *(folder for home in homes for folder in (home.parent, home.parent.parent)),
            *roots,
        ]
    toolkit = next((path for path in toolkits if path.is_file()), None)
    if toolkit is not None:  # ATB of the same installation, if it has one
        roots = [toolkit.parent.parent, *roots]
    atb = next((root / ATB_SCRIPT for root in roots if (root / ATB_SCRIPT).is_file()), None)
    found = []
    if toolkit is not None and not is_set_up(environ):
        found.append(toolkit)
    if atb is not None and not environ.get("ATB_HOME_PATH") and (found or is_set_up(environ)):
        found.append(atb)
    return tuple(found)


def is_of_cann(entry: str, environ: Mapping[str, str]) -> bool:
    """Whether an entry of PYTHONPATH is CANN's: below its folders, or with its modules in it."""
    folder = Path(os.path.realpath(entry))
    names = (*_HOMES, "ASCEND_OPP_PATH", "TOOLCHAIN_HOME", "ATB_HOME_PATH")
    roots = [SYSTEM, *_below_home(environ)]
    roots += [Path(environ[name]) for name in names if environ.get(name, "").startswith("/")]
    if any(folder.is_relative_to(os.path.realpath(root)) for root in roots):
        return True
    return any((folder / module).is_dir() for module in ("tbe", "te", "acl"))


def untrusted(script: Path) -> str:
    """Why a script is not run: someone else could have changed it. Empty where it may be."""
    real = Path(os.path.realpath(script))
    for path in (real, real.parent):
        try:
            status = path.stat()
        except OSError as error:
            return f"{script} cannot be looked at: {error.strerror}"
        if status.st_uid not in (0, os.geteuid()):
            return f"{script} was not sourced: {path} belongs to user {status.st_uid}"
        shared = status.st_mode & stat.S_IWGRP and status.st_gid not in (0, os.getegid())
        if status.st_mode & stat.S_IWOTH or shared:
            return f"{script} was not sourced: others can write {path}"
    return ""


def _homes(environ: Mapping[str, str]) -> list[str]:
    found = [environ.get(name, "").rstrip("/") for name in _HOMES]
    return list(dict.fromkeys(home for home in found if home.startswith("/")))


def _below_home(environ: Mapping[str, str]) -> Iterator[Path]:
    home = environ.get("HOME", "")
    if home.startswith("/"):
        yield Path(home) / "Ascend"


def _sourced(script: Path, environ: Mapping[str, str], limit: float) -> dict[str, str] | str:
    """The environment after a script, or what went wrong."""
    bash = shutil.which("bash")
    if bash is None:
        return f"{script} was not sourced: there is no bash"
    try:
        process = subprocess.Popen(
            [bash, "--noprofile", "--norc", "-c", _SOURCE, "cann", str(script)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environ),
            cwd=script.parent,
            start_new_session=True,
        )
    except OSError as error:
        return f"{script} was not sourced: {error}"
    try:
        told, complaint = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        _end(process)
        return f"{script} was not sourced: it did not end within {limit:g} seconds"
    found = dict(
        pair.split("=", 1) for pair in told.decode(errors="surrogateescape").split("\0") if pair
    )
    changed = [name for name in found if found[name] != environ.get(name) and name not in _OWN]
    if process.returncode or not changed:
        lines = complaint.decode(errors="replace").strip().splitlines()
        why = lines[-1][:200] if lines else f"exit code {process.returncode}"
        return f"{script} was sourced and set nothing ({why})"
    return found


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # it ended by itself in the meantime
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _changes(
    base: Mapping[str, str], now: Mapping[str, str], before: Mapping[str, str]
) -> dict[str, str]:
    """What scripts added: new variables, and new folders before those that are there.

    What the user has exported stays, as it would after sourcing first.
    """
    found = {}
    for name, value in now.items():
        if name in _OWN or name.startswith("BASH_FUNC_") or value == base.get(name):
            continue
        if name in _LISTS:
            there = [part for part in before.get(name, "").split(os.pathsep) if part]
            known = base.get(name, "").split(os.pathsep)
            # An empty part stands for the working folder, which has no place in any of them.
            new = [part for part in value.split(os.pathsep) if part and part not in known]
            if new:
                found[name] = os.pathsep.join([*dict.fromkeys(new), *there])
        elif name not in before:
            found[name] = value
    return found
