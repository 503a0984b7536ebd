"""Sets that a script is calibrated with: given to it by name, or those that it brings.

However a user names a set, as `--calibration` or as the script's own option after `--`, it goes one
way: it is checked, recorded with its digest, and handed on in the shape that the script reads.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePath

from quantizers.calibration import CalibrationSet, check_samples, digest_of
from quantizers.modelslim.script_source import ScriptSource
from registry.errors import NotFoundError, UsageError

CALIBRATION, ANTI = "calibration", "anti_dataset"
# Names of the option for each use, the usual one first.
OPTIONS = {
    CALIBRATION: (
        *("--calib_dataset", "--calib_file", "--calib_dataset_path", "--calib_data"),
        *("--calib_path", "--calib-dataset"),
    ),
    ANTI: ("--anti_dataset", "--anti_calib_file", "--anti_dataset_path", "--anti-dataset"),
}


def split_sets(
    source: ScriptSource, arguments: tuple[str, ...], folder: Path
) -> tuple[Mapping[str, Path], tuple[str, ...]]:
    """Sets that are named among a script's arguments, by use, and the other arguments.

    Paths that are there are made absolute: a script runs in another folder than the user's.

    Args:
        source: of the script.
        arguments: as the user gives them after `--`.
        folder: of the script.

    Raises:
        NotFoundError: a set is not there.
        UsageError: two are named for one use, of which a script would take the last.
    """
    found: dict[str, Path] = {}
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        use = _use_of(source, name)
        if use is None:
            rest.append(f"{name}={settled(value, folder)}" if equals else settled(word, folder))
            continue
        value = value if equals else next(words, "")
        path = Path(settled(value, folder))
        if not value or not path.exists():
            raise NotFoundError(
                f"The set {value!r} that {name} names is not there",
                remedy="Give its path, as it is seen from here or from the script's folder.",
            )
        if use in found:
            raise UsageError(
                f"Two sets are named for {name}: {found[use]} and {path}",
                remedy="Name one of them.",
            )
        found[use] = path.absolute()
    return found, tuple(rest)


def is_of_texts(path: Path) -> bool:
    """Whether a set holds texts, so that it can be handed on in another shape."""
    try:
        return path.is_file() and check_samples(path, chats=False, blank=True) > 0
    except (UsageError, OSError):
        return False


def settled(word: str, folder: Path) -> str:
    """An argument that is a path of a file, made absolute; others as they are.

    It counts from where the user is, as in any command, else from the script's folder, as in the
    guide, which goes there first.
    """
    path = PurePath(word)
    if not word or path.is_absolute() or word.startswith("-") or "\0" in word:
        return word
    if "/" not in word and not path.suffix:
        return word
    for place in (Path.cwd(), folder):
        if (place / path).exists():
            return os.path.abspath(place / path)
    return word


def own_set(source: ScriptSource, use: str, folder: Path) -> CalibrationSet | None:
    """The set that a script takes by itself; None where it names none.

    Raises:
        NotFoundError: it names one that is not there.
    """
    word = source.default(source.option(*OPTIONS[use]))
    if not word:
        return None
    path = folder / word
    if not path.is_file():
        if path.is_dir():
            return None
        option = f"--{use.replace('_', '-')}"
        raise NotFoundError(
            f"The script's own set {word} is not there, seen from {folder}",
            remedy=f"Check out the whole repository, or give a set: {option} FILE .",
        )
    try:
        lines = check_samples(path, blank=True)
    except UsageError:
        lines = None  # of another kind than texts; the script knows how to read it
    return CalibrationSet(path.name, path, digest_of(path), lines, "the script")


def _use_of(source: ScriptSource, name: str) -> str | None:
    """What an argument names a set for; None for other arguments."""
    full = source.full(name)
    return next((use for use, names in OPTIONS.items() if full in names), None)
