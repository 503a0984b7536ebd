"""Calibration sets: a file of samples, a folder or name of a data set, or the tool's own."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from quantizers.recipe import Recipe
from quantizers.samples import LAYOUT, read_samples
from registry.artifact import payload_digest
from registry.errors import NotFoundError, UsageError
from registry.folder import hash_files, list_files, sha256_file

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?\Z")
_CHATS = ', or {"messages": […]} .'
_NO_CHATS = (
    ' ; ModelSlim applies no chat template, so that {"messages": […]} is for LLM-Compressor alone.'
)


@dataclass(frozen=True)
class CalibrationSet:
    """A set that was found.

    Attributes:
        name: of the file, folder or data set.
        where: the file or folder; None for a data set of a hub, which the tool fetches.
        digest: `sha256:…` over the file, or over the folder's files; empty where `where` is None.
        lines: samples in a file; None otherwise.
        origin: whom it comes with, `the tool` or `the script`; empty for one of the user's.
    """

    name: str
    where: Path | None
    digest: str
    lines: int | None
    origin: str = ""

    @property
    def own(self) -> bool:
        """Whether it is the user's."""
        return not self.origin

    def to_json(self) -> dict[str, object]:
        """For provenance, which is published: no path, see `quantizers.places`."""
        found: dict[str, object] = {"file": self.name, "digest": self.digest or None}
        if self.lines is not None:
            found["lines"] = self.lines
        return found | ({} if self.own else {"origin": f"comes with {self.origin}"})


def find_calibration(
    recipe: Recipe, given: Path | str | None, *, untouched: bool = False
) -> CalibrationSet | None:
    """Look for the set that a user names, and check that it is one.

    Args:
        recipe: wants one, or none.
        given: a file of samples, see `quantizers.samples`; for LLM-Compressor also a folder that
            `datasets` reads, or a data set's name on a hub.
        untouched: whether a script reads it as it is, so that it may be anything.

    Returns:
        None where none is named.

    Raises:
        UsageError: it is missing, not wanted, or malformed.
        NotFoundError: there is nothing of that name.
    """
    if recipe.calibration is None:
        if given is not None:
            raise UsageError(
                f"Recipe {recipe.name} is data-free and would not use {given}",
                remedy="Leave out --calibration, or choose a recipe that calibrates.",
            )
        return None
    if given is None:
        if recipe.calibration.default:
            return None
        rest = ", or the folder or name of a data set." if _takes_more(recipe) else " ."
        raise UsageError(
            f"Recipe {recipe.name} needs a calibration set",
            remedy=f"Give --calibration FILE{rest} {LAYOUT}.",
        )
    path = Path(given).absolute()
    if untouched:
        return CalibrationSet(path.name, path, digest_of(path), None)
    if path.is_dir() and not _takes_more(recipe):
        raise UsageError(
            f"{given} is a folder, and ModelSlim calibrates with a file",
            remedy=f"Give a file. {LAYOUT}{_NO_CHATS}",
        )
    if path.exists():
        blank, chats = recipe.calibration.blank, _takes_more(recipe)
        lines = None if path.is_dir() else check_samples(path, chats=chats, blank=blank)
        return CalibrationSet(path.name, path, digest_of(path), lines)
    text = str(given)
    if _takes_more(recipe) and _NAME.match(text) and not text.endswith((".json", ".jsonl", ".txt")):
        return CalibrationSet(text, None, "", None)
    raise NotFoundError(
        f"There is no calibration file {given}", remedy=f"Give the path of a file. {LAYOUT}."
    )


def _takes_more(recipe: Recipe) -> bool:
    """Whether chats, folders and names are taken, too; ModelSlim takes files of texts."""
    return recipe.tool != "modelslim"


def digest_of(path: Path) -> str:
    """`sha256:…` of a set: of a file's bytes, or over all files of a folder."""
    if not path.is_dir():
        return f"sha256:{sha256_file(path)}"
    files = hash_files(path, list_files(path))
    if not files:
        raise UsageError(f"The calibration folder {path} is empty", remedy=f"{LAYOUT}{_CHATS}")
    return str(payload_digest(files))


def check_samples(path: Path, *, chats: bool = True, blank: bool = False) -> int:
    """Check that a file holds samples; returns how many.

    Args:
        path: of the file, see `quantizers.samples`.
        chats: whether conversations are samples, too.
        blank: whether an empty text is one, if others are not empty.

    Raises:
        UsageError: it is no file of samples.
    """
    count, filled, remedy = 0, 0, f"{LAYOUT}{_CHATS if chats else _NO_CHATS}"
    for sample in read_samples(path):
        taken = sample.text or (chats and sample.is_chat)
        if not taken and not (blank and sample.given is not None):
            what = "holds a chat, and no text" if sample.is_chat else "holds no text"
            raise UsageError(f"{sample.where} {what}", remedy=remedy)
        count, filled = count + 1, filled + bool(taken)
    if not filled:
        raise UsageError(f"The calibration file {path} is empty", remedy=remedy)
    return count


def write_lines(source: Path, target: Path) -> None:
    """Write a set as JSON Lines, each with a field `messages` or `text`; raises UsageError."""
    with target.open("w", encoding="utf-8") as out:
        for sample in read_samples(source):
            value = sample.value if sample.is_chat else {"text": sample.text}
            out.write(json.dumps(value, ensure_ascii=False) + "\n")
