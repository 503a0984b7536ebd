"""A checkout of ModelSlim's repository: which state it is in, and what a script finds beside it.

The repository is the user's, and nothing is written to it. Scripts name their sets by paths that
are relative to their own folder, as the guide starts them there; CANN writes `kernel_meta` to
wherever a program is started. So a script runs in a folder of the job, in which those paths lead to
copies.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

_TIME = 20.0  # seconds for git, on a slow disk
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_LEVELS = 3  # folders above a script that relative paths may climb to
# No hook and no monitor of the repository's runs, and its index is not written anew. In a container
# it often belongs to another user than the one who runs its script, which git would not look at.
_QUIET = (
    *("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"),
    *("-c", "safe.directory=*"),
)
_COPIED = 64 * 2**20  # bytes of a folder that is copied; a larger one is linked


def state_of(script: Path) -> Mapping[str, object]:
    """The commit that a script's checkout is at, and whether its files differ from it.

    Returns:
        `{"commit": …, "changed": …}`; empty where the script is in no checkout, or without git.
    """
    script = script.resolve()
    commit = _git(script.parent, "rev-parse", "HEAD").strip()
    kept = _git(script.parent, "ls-files", "--error-unmatch", "--", script.name)
    if not _COMMIT.match(commit) or not kept:  # a copy in another repository is not that one's
        return {}
    changed = _git(script.parent, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "changed": bool(changed.strip())}


def _git(folder: Path, *words: str) -> str:
    try:
        ended = subprocess.run(
            ["git", *_QUIET, "-C", str(folder), *words],  # noqa: S607 - the user's own git
            capture_output=True,
            timeout=_TIME,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("GIT_")},
                "GIT_OPTIONAL_LOCKS": "0",
            },
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ended.stdout.decode(errors="replace") if ended.returncode == 0 else ""


def working_folder(script: Path, relative: Iterable[str], work: Path) -> Path:
    """A folder of the job's in which relative paths lead where they lead beside the script.

    Args:
        script: the script.
        relative: paths that it names, relative to its own folder; others are passed over.
        work: the job's folder.
    """
    root = work / "checkout"
    names = [re.sub(r"[^A-Za-z0-9_.-]", "_", part) for part in script.parent.parts[-_LEVELS:]]
    folder = root.joinpath(*(name for name in names if name.strip("/.")))
    folder.mkdir(parents=True)
    for word in relative:
        there = script.parent / word
        target = Path(os.path.normpath(folder / word))
        if not target.is_relative_to(root) or target.exists() or not there.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if not there.is_dir():
            shutil.copyfile(there, target)
            target.chmod(0o640)  # ModelSlim's helpers refuse what the group may write
        elif _size(there) <= _COPIED:
            shutil.copytree(there, target)
        else:
            target.symlink_to(there.resolve(), target_is_directory=True)
    return folder


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
