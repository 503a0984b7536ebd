"""Text that every machine has: the docstrings of Python's standard library, and a held-out part.

The demo model is trained on `training_passages`; `held_out_text`, from modules that it never saw,
is what perplexity is measured on unless the user names a text.
"""

from __future__ import annotations

import ast
import inspect
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Well-documented modules kept out of the training.
HELD_OUT = frozenset({"argparse", "calendar", "difflib", "fractions", "statistics", "tarfile"})
_SKIPPED = frozenset({"test", "tests", "idlelib", "lib2to3", "site-packages", "turtledemo"})


@dataclass(frozen=True)
class Passage:
    """A documented object and its docstring.

    Attributes:
        name: dotted, `json.decoder.JSONDecoder.decode`.
        text: the docstring without its indentation.
    """

    name: str
    text: str


def training_passages() -> list[Passage]:
    """Docstrings of the standard library without the held-out modules, in a fixed order."""
    return [p for path in _sources() if path.stem not in HELD_OUT for p in _passages(path)]


def held_out_text() -> str:
    """Docstrings of the held-out modules as one text, about 60 KB."""
    passages = [p for path in _sources() if path.stem in HELD_OUT for p in _passages(path)]
    return "\n\n".join(passage.text for passage in passages)


def _library() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _sources() -> list[Path]:
    library = _library()
    return [
        path
        for path in sorted(library.rglob("*.py"))
        if not _SKIPPED.intersection(path.relative_to(library).parts)
    ]


def _passages(path: Path) -> Iterator[Passage]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return
    parts = path.relative_to(_library()).with_suffix("").parts
    module = ".".join(part for part in parts if part != "__init__")
    yield from _documented(tree, module)


def _documented(node: ast.Module | ast.stmt, name: str) -> Iterator[Passage]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        text = inspect.cleandoc(ast.get_docstring(node) or "")
        if len(text) >= 40:
            yield Passage(name, text)
        for child in node.body:
            child_name = getattr(child, "name", "")
            if isinstance(child_name, str) and child_name and not child_name.startswith("_"):
                yield from _documented(child, f"{name}.{child_name}")
