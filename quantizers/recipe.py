"""Recipes: readable YAML files that say how a model is quantized.

    name: w8a8-dynamic
    title: one line for people
    tool: llmcompressor
    description: what it does, when to use it
    calibration: null, or {samples, max_tokens}
    stages: the tool's own recipe, as it documents it

A file with LLM-Compressor's own layout (`…_stage: {…_modifiers: …}`) is accepted as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
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
        samples: how many lines of the set are used at the most.
        max_tokens: of each sample; longer ones are cut.
    """

    samples: int
    max_tokens: int


@dataclass(frozen=True)
class Recipe:
    """A recipe, read and checked.

    Attributes:
        name: of the shipped recipe, or the file's stem.
        title: one line for people.
        tool: the quantizer that carries it out.
        calibration: None for a data-free recipe.
        stages: in the tool's own layout.
        text: the file's content, as it was.
    """

    name: str
    title: str
    tool: str
    calibration: Calibration | None
    stages: Mapping[str, Any]
    text: str

    @property
    def digest(self) -> str:
        """sha256 of the file's content, 64 hexadecimal digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def modifiers(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The modifiers of all stages, in order, with their arguments."""
        for stage in self.stages.values():
            for group in stage.values() if isinstance(stage, Mapping) else ():
                for name, arguments in group.items() if isinstance(group, Mapping) else ():
                    yield name, arguments if isinstance(arguments, Mapping) else {}

    def quantized(self) -> Iterator[Mapping[str, Any]]:
        """The arguments of the modifiers that quantize: those with a scheme."""
        for _, arguments in self.modifiers():
            if "scheme" in arguments or "config_groups" in arguments:
                yield arguments


def shipped() -> list[str]:
    """Names of the recipes that come with qreg."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_recipe(text: str, tool: str) -> Recipe:
    """Read a shipped recipe by name, or a user's file by path.

    Raises:
        NotFoundError: neither a recipe nor a file.
        UsageError: not a recipe, or one for another tool.
    """
    path = FOLDER / f"{text}.yaml"
    if "/" in text or not path.is_file():
        path = Path(text)
        if not path.is_file():
            raise NotFoundError(
                f"There is no recipe {text!r}",
                remedy=f"Shipped recipes are {', '.join(shipped())}; or give the path of a file.",
            )
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", remedy=_LAYOUT) from error
    recipe = parse_recipe(content, path.stem, str(path))
    if recipe.tool != tool:
        raise UsageError(
            f"Recipe {recipe.name} is for {recipe.tool}, not for {tool}",
            remedy=f"Use --tool {recipe.tool} .",
        )
    return recipe


def parse_recipe(content: str, name: str, label: str) -> Recipe:
    """Check a recipe's content; raises UsageError with what is wrong."""
    import yaml

    try:
        value = yaml.safe_load(content)
    except yaml.YAMLError as error:
        where = str(error).replace('"<unicode string>"', label)
        raise UsageError(f"{label} is not YAML: {where}", remedy=_LAYOUT) from error
    if not isinstance(value, dict):
        raise UsageError(f"{label} is not a recipe: it is not a mapping", remedy=_LAYOUT)
    if "stages" not in value and any(str(key).endswith("_stage") for key in value):
        value = {"name": name, "tool": "llmcompressor", "stages": value}
    stages, calibration = value.get("stages"), value.get("calibration")
    if not isinstance(stages, dict) or not stages:
        raise UsageError(f"{label} is not a recipe: it has no stages", remedy=_LAYOUT)
    for stage in stages.values():
        for group in stage if isinstance(stage, dict) else ("",):
            if not str(group).endswith("_modifiers"):
                # LLM-Compressor skips it in silence and ends well, with nothing quantized.
                raise UsageError(
                    f"{label}: a stage holds groups named …_modifiers, not {group!r}",
                    remedy=_LAYOUT,
                )
    recipe = Recipe(
        name=check_tag(str(value.get("name", name))),
        title=str(value.get("title", "")),
        tool=str(value.get("tool", "llmcompressor")),
        calibration=_calibration(calibration, label) if calibration else None,
        stages=stages,
        text=content,
    )
    if not any(recipe.quantized()):
        raise UsageError(
            f"{label} quantizes nothing: no modifier in its stages has a scheme", remedy=_LAYOUT
        )
    return recipe


def _calibration(value: Any, label: str) -> Calibration:
    try:
        found = Calibration(int(value["samples"]), int(value["max_tokens"]))
    except (TypeError, KeyError, ValueError) as error:
        raise UsageError(
            f"The calibration of {label} is not {{samples: N, max_tokens: N}}"
        ) from error
    if found.samples < 1 or found.max_tokens < 1:
        raise UsageError(f"The calibration of {label} asks for nothing")
    return found


_LAYOUT = (
    "A recipe is a mapping with name, tool, calibration and stages; see the files in "
    f"{FOLDER} for examples."
)
