"""Paths of this machine, taken out of what is published.

A manifest goes wherever its artifact goes. Where its maker keeps models, and as whom, is nobody's
business there, and no use to anybody: what was used is recorded by name and digest. Where it lies
on the maker's own machine stands in `quantizers.places`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from registry.reference import Reference

# A whole absolute path, alone or inside of an option, a list or JSON; no part of an address.
_ABSOLUTE = re.compile(
    r"(?<![\w./}~-])(?!(?<=:)//)(?:file://)?/(?:[^\s/'\",;:=]+/)*([^\s/'\",;:=]*)"
)


def without_paths(text: str, known: Mapping[str, str] | None = None) -> str:
    """A text of which no absolute path is left.

    Args:
        text: a word of a command, the value of a variable, a tool's warning.
        known: placeholders by path, `{"/home/me/model": "{source}"}`; others become `{path}/NAME`.
    """
    for path in sorted(known or {}, key=len, reverse=True):
        text = re.sub(rf"{re.escape(path)}(?=/|\W|\Z)", (known or {})[path], text)
    return _ABSOLUTE.sub(r"{path}/\1", text)


def placed_argument(word: str) -> str:
    """An argument of which no absolute path is left, whatever its folders are called."""
    value = value_of(word)
    if value.startswith("/"):
        option = word.removesuffix(value)
        return f"{option}{{path}}/{value.rstrip('/').rpartition('/')[2]}"
    return without_paths(word)


def value_of(word: str) -> str:
    """What an argument gives: itself, or what follows `--option=`; empty for an option alone."""
    return word.partition("=")[2] if word.startswith("-") else word


def published_reference(reference: str) -> str | None:
    """A reference that others may find, too; None for a folder of this machine."""
    return None if Reference.parse(reference).scheme == "file" else reference
