"""The script that a recorded quantization ran: given again by the user, held against the record.

A record never runs a script by itself, nor tells it anything.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from quantizers.catalogue import open_quantizer
from quantizers.interface import Options
from quantizers.placeholders import placed_argument
from quantizers.record import files_of
from quantizers.recorded import Record
from registry.config import Settings
from registry.errors import IntegrityError, UsageError
from registry.progress import Note, Observer
from toolchains import Toolchain, find_toolchain


@dataclass(frozen=True)
class Given:
    """What the user gives for a script.

    Attributes:
        text: of the script; empty for a recipe.
        arguments: that it gets.
        sets: that were named among them, by use.
    """

    text: str = ""
    arguments: tuple[str, ...] = ()
    sets: Mapping[str, Path] = field(default_factory=dict)


def find_recorded_script(
    record: Record,
    script: Path | None,
    arguments: tuple[str, ...],
    settings: Settings,
    observe: Observer,
) -> Given:
    """The script that the user names, which is the recorded one, and what it is told.

    Raises:
        UsageError: a script or its arguments are missing, or others than recorded.
        IntegrityError: a file that an argument names, or a set that the script brings, has changed.
    """
    if not record.script:
        if script is not None or arguments:
            raise UsageError(
                f"{record.artifact} was made by the recipe {record.recipe_name}, and by no script",
                remedy="Leave out --script and what follows -- .",
            )
        return Given()
    quantizer, options = open_quantizer(record.tool), Options(script=script, arguments=arguments)

    def toolchain() -> Toolchain:
        return find_toolchain(record.toolchain, settings)

    recipe = quantizer.load_recipe("", options, toolchain) if script else None
    if recipe is None or recipe.text != record.recipe_text:
        raise UsageError(
            f"{record.artifact} was made by the script {record.script!r}",
            remedy=f"Name the same version of it: --script PATH .{_commit(record)}",
        )
    sets, settled = quantizer.settle(recipe, options)
    sets, kept = _matching(record, arguments, sets, settled.arguments)
    for word, digest in files_of(settled.arguments).items():
        if word in record.files and digest != str(record.files[word]):
            raise IntegrityError(
                f"Argument {word} is not the file that is recorded: it has {digest}, recorded is "
                f"{record.files[word]}",
                remedy="Give the recorded one.",
            )
    for use, brought in record.brought.items():
        found = quantizer.default_set(recipe, use, toolchain())
        if found is not None and brought.digest and found.digest != str(brought.digest):
            raise IntegrityError(
                f"The script's own set {found.name} has changed: it has {found.digest}, recorded "
                f"is {brought.digest}",
                remedy=f"Check out the recorded state of its repository.{_commit(record)}",
            )
    state = quantizer.state(recipe)
    commit = state.get("commit")
    if record.commit and commit == record.commit and (state["changed"] or record.changed):
        when = "then" if record.changed else "since"
        text = f"Files of the script's checkout were changed {when}; its helpers may differ"
        observe(Note(text, warning=True))
    if record.commit and commit != record.commit:
        there = f"is at commit {commit}" if commit else "is at no commit that git tells"
        text_of_note = f"The script's checkout {there}; recorded is {record.commit}"
        observe(Note(f"{text_of_note}. Its helpers may differ", warning=True))
    return Given(recipe.text, kept, sets)


def _matching(
    record: Record,
    given: tuple[str, ...],
    sets: Mapping[str, Path],
    settled: tuple[str, ...],
) -> tuple[Mapping[str, Path], tuple[str, ...]]:
    """Sets and arguments as they are recorded; raises UsageError where they are others."""
    recorded = _placed(record.arguments)
    if recorded == _placed(settled):
        return sets, settled
    if recorded == _placed(given):  # older releases recorded a set among the arguments
        return {}, given
    raise UsageError(
        f"The script's arguments are not those that are recorded: given are "
        f"{shlex.join(given) or 'none'!r}, recorded are {shlex.join(record.arguments)!r}",
        remedy="Look at them, then give them after -- , with the paths of this machine for "
        "{path}/… .",
    )


def _placed(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(placed_argument(word) for word in words)


def _commit(record: Record) -> str:
    return f" Its checkout was at commit {record.commit} ." if record.commit else ""
