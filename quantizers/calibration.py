"""Calibration sets: a JSONL file, a folder or name of a data set, or one that the tool brings."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from quantizers.recipe import Recipe
from registry.artifact import payload_digest
from registry.errors import NotFoundError, UsageError
from registry.folder import hash_files, list_files, sha256_file

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?\Z")
_LINE = 'A line reads {"text": "…"}, {"messages": […]} or "…" .'
_TEXT_LINE = (
    'A line reads {"text": "…"}, {"inputs_pretokenized": "…"} or "…" ; ModelSlim applies no chat '
    'template, so that {"messages": […]} is for LLM-Compressor alone.'
)


@dataclass(frozen=True)
class CalibrationSet:
    """A set that was found.

    Attributes:
        name: of the file, folder or data set.
        where: the file or folder; None for a data set of a hub, which the tool fetches.
        digest: `sha256:…` over the file, or over the folder's files; empty where `where` is None.
        lines: of a file; None otherwise.
        own: whether it is the user's, and not one that comes with the tool.
    """

    name: str
    where: Path | None
    digest: str
    lines: int | None
    own: bool = True

    def to_json(self) -> dict[str, object]:
        """For provenance, which is published: no path, see `quantizers.places`."""
        found: dict[str, object] = {"file": self.name, "digest": self.digest or None}
        if self.lines is not None:
            found["lines"] = self.lines
        return found | ({} if self.own else {"origin": "comes with the tool"})


def find_calibration(recipe: Recipe, given: Path | str | None) -> CalibrationSet | None:
    """Look for the set that a user names, and check that it is one.

    Args:
        recipe: wants one, or none.
        given: a JSONL file; for LLM-Compressor also a folder that `datasets` reads, or a data
            set's name on a hub.

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
            remedy=f'Give --calibration FILE.jsonl with a line {{"text": "…"}} a sample{rest}',
        )
    path = Path(given).absolute()
    if path.is_dir() and not _takes_more(recipe):
        raise UsageError(
            f"{given} is a folder, and ModelSlim calibrates with a file",
            remedy=f"Give a JSONL file. {_TEXT_LINE}",
        )
    if path.exists():
        lines = None if path.is_dir() else check_lines(path, chats=_takes_more(recipe))
        return CalibrationSet(path.name, path, digest_of(path), lines)
    text = str(given)
    if _takes_more(recipe) and _NAME.match(text) and not text.endswith((".json", ".jsonl", ".txt")):
        return CalibrationSet(text, None, "", None)
    raise NotFoundError(
        f"There is no calibration file {given}", remedy="Give the path of a JSONL file."
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
        raise UsageError(f"The calibration folder {path} is empty", remedy=_LINE)
    return str(payload_digest(files))


def check_lines(path: Path, *, chats: bool = True) -> int:
    """Check that every line of a JSONL file is a sample; returns how many there are.

    Args:
        path: of the file.
        chats: whether messages are samples, too.
    """
    samples, remedy = 0, _LINE if chats else _TEXT_LINE
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    _check_sample(line, f"{path}, line {number}", chats, remedy)
                    samples += 1
    except UnicodeDecodeError as error:
        raise UsageError(
            f"The calibration file {path} is not UTF-8 text: {error}", remedy=remedy
        ) from error
    if not samples:
        raise UsageError(f"The calibration file {path} is empty", remedy=remedy)
    return samples


def _check_sample(line: str, where: str, chats: bool, remedy: str) -> None:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise UsageError(f"{where} is not JSON: {error}", remedy=remedy) from error
    table = value if isinstance(value, dict) else {"text": value}
    text = table.get("text", table.get("inputs_pretokenized"))
    chat = isinstance(table.get("messages"), list)
    if not (chat and chats) and not (isinstance(text, str) and text):
        what = "holds a chat, and no text" if chat else "holds no text"
        raise UsageError(f"{where} {what}", remedy=remedy)
