"""Recipes: readable YAML files that say how a model is quantized.

    name: w8a8-dynamic
    title: one line for people
    tool: llmcompressor
    description: what it does, when to use it
    calibration: null, or {samples, max_tokens}
    stages: …     LLM-Compressor's own recipe, as it documents it
    practice: …   or ModelSlim's practice, `apiversion`, `metadata` and `spec`

A file in a tool's own layout is accepted as it is. What is common to all tools is read here, what
is a tool's own in its module.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.errors import NotFoundError, UsageError
from registry.names import check_tag

FOLDER = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Calibration:
    """How much calibration data a recipe wants.

    Attributes:
        samples: how many lines of the set are used at the most; ModelSlim uses all, and this many
            are what memory is estimated for.
        max_tokens: of each sample; longer ones are cut where the tool can.
        default: a set that comes with the tool, used where the user names none; empty if none.
        blank: whether an empty text is a sample among others.
    """

    samples: int
    max_tokens: int
    default: str = ""
    blank: bool = False


@dataclass(frozen=True)
class Recipe:
    """A recipe, read and checked; raises UsageError for a name that is none.

    Attributes:
        name: of the shipped recipe, or the file's stem; a tag, see `registry.names`.
        title: one line for people.
        tool: the quantizer that carries it out.
        calibration: None for a data-free recipe.
        body: in the tool's own layout.
        text: the file's content, as it was.
        experts: whether it is meant for models with experts only.
    """

    name: str
    title: str
    tool: str
    calibration: Calibration | None
    body: Mapping[str, Any]
    text: str
    experts: bool = False

    def __post_init__(self) -> None:
        check_tag(self.name)  # it becomes the name of a file, whoever read the recipe

    @property
    def digest(self) -> str:
        """sha256 of the file's content, 64 hexadecimal digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def shipped(tool: str) -> list[str]:
    """Names of the recipes for a tool that come with qreg."""
    return sorted(path.stem for path in (FOLDER / tool).glob("*.yaml"))


def find_recipe(text: str, tool: str) -> Path:
    """The file of a shipped recipe, by name, or of the user's, by path; raises NotFoundError."""
    path = FOLDER / tool / f"{text}.yaml"
    if "/" not in text and path.is_file():
        return path
    path = Path(text)
    if not path.is_file():
        raise NotFoundError(
            f"There is no recipe {text!r} for {tool}",
            remedy=f"{_elsewhere(text)}Shipped ones for {tool} are {', '.join(shipped(tool))}; or "
            "give the path of a file.",
        )
    return path


def _elsewhere(text: str) -> str:
    """Which tools have a recipe of that name, as advice; empty where none has."""
    if text.startswith("practice:"):
        return "Practices are ModelSlim's: use --tool modelslim . "
    tools = [folder.name for folder in sorted(FOLDER.iterdir()) if text in shipped(folder.name)]
    names = " and ".join(tools)
    return f"It is a recipe for {names}: use --tool {' or '.join(tools)} . " if tools else ""


def read_text(path: Path) -> str:
    """The content of a recipe's file; raises UsageError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", remedy=LAYOUT) from error


def parse_yaml(content: str, label: str) -> dict[str, Any]:
    """The mapping that a recipe's file holds; raises UsageError."""
    import yaml

    try:
        value = yaml.safe_load(content)
    except yaml.YAMLError as error:
        where = str(error).replace('"<unicode string>"', label)
        raise UsageError(f"{label} is not YAML: {where}", remedy=LAYOUT) from error
    if not isinstance(value, dict):
        raise UsageError(f"{label} is not a recipe: it is not a mapping", remedy=LAYOUT)
    return value


def compose_recipe(
    value: Mapping[str, Any], body: Mapping[str, Any], *, tool: str, name: str, text: str
) -> Recipe:
    """A recipe from its common fields and its tool's own part.

    Args:
        value: the file's mapping.
        body: the tool's own part.
        tool: that it is for.
        name: where the file gives none.
        text: the file's content.

    Raises:
        UsageError: it is for another tool, or a field is malformed.
    """
    recipe = Recipe(
        name=check_tag(str(value.get("name", name))),
        title=str(value.get("title", "")),
        tool=str(value.get("tool", tool)),
        calibration=_calibration(value["calibration"], name) if value.get("calibration") else None,
        body=body,
        text=text,
        experts=value.get("experts") == "required",
    )
    if recipe.tool != tool:
        raise UsageError(
            f"Recipe {recipe.name} is for {recipe.tool}, not for {tool}",
            remedy=f"Use --tool {recipe.tool} .",
        )
    return recipe


def _calibration(value: Any, label: str) -> Calibration:
    try:
        found = Calibration(
            int(value["samples"]), int(value["max_tokens"]), str(value.get("default", ""))
        )
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise UsageError(
            f"The calibration of {label} is not {{samples: N, max_tokens: N}}"
        ) from error
    if found.samples < 1 or found.max_tokens < 1:
        raise UsageError(f"The calibration of {label} asks for nothing")
    return found


LAYOUT = (
    "A recipe is a mapping with name, tool, calibration and the tool's own part; see the files in "
    f"{FOLDER} for examples."
)
