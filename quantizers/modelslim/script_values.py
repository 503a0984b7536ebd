"""Texts that a script's source puts together, told without running it.

`"../common/" + NAME`, `os.path.join("..", "common", "x.json")`, `f"{FOLDER}/x.json"`, with names
that the module gives a text once, and with `__file__`.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator

_DEPTH = 20  # of names that stand for names


class Values:
    """The values of a module's expressions, where they are texts that the source tells."""

    def __init__(self, tree: ast.Module, file: str = "") -> None:
        """Look at the assignments of a module.

        Args:
            tree: of the module.
            file: its path; empty where `__file__` is not known.
        """
        self._file = file
        self._assigned: dict[str, ast.expr | None] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and len(node.targets) == 1:
                target = node.targets[0]
                if isinstance(target, ast.Name):  # given twice, it is not known
                    known = target.id not in self._assigned
                    self._assigned[target.id] = node.value if known else None

    def text(self, node: ast.expr | None, depth: int = 0) -> str | None:
        """The text that an expression stands for; None where the source does not tell it."""
        if node is None or depth > _DEPTH:
            return None
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        if isinstance(node, ast.Name):
            if node.id == "__file__":
                return self._file or None
            return self.text(self._assigned.get(node.id), depth + 1)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self._joined([node.left, node.right], depth)
        if isinstance(node, ast.FormattedValue):
            plain = node.conversion == -1 and node.format_spec is None
            return self.text(node.value, depth + 1) if plain else None
        if isinstance(node, ast.JoinedStr):
            return self._joined(node.values, depth)
        return self._path(node, depth) if isinstance(node, ast.Call) else None

    def texts(self, node: ast.expr) -> Iterator[str]:
        """The texts of an expression, or of a tuple or list of them."""
        for one in node.elts if isinstance(node, ast.Tuple | ast.List) else [node]:
            if (text := self.text(one)) is not None:
                yield text

    def attribute(self, node: ast.expr, depth: int = 0) -> str:
        """The attribute that an expression is, `dataset` of `args.dataset`, by names, too."""
        if isinstance(node, ast.Attribute):
            return node.attr
        if not isinstance(node, ast.Name) or depth > _DEPTH:
            return ""
        value = self._assigned.get(node.id)
        return (self.attribute(value, depth + 1) if value is not None else "") or node.id

    def _joined(self, nodes: list[ast.expr], depth: int) -> str | None:
        parts = [self.text(node, depth + 1) for node in nodes]
        return None if any(part is None for part in parts) else "".join(filter(None, parts))

    def _path(self, call: ast.Call, depth: int) -> str | None:
        """What a function of `os.path` makes of known texts."""
        func = call.func
        of_path = isinstance(func, ast.Attribute) and self.attribute(func.value) == "path"
        parts = [text for arg in call.args if (text := self.text(arg, depth + 1)) is not None]
        if not of_path or len(parts) != len(call.args) or not parts:
            return None
        name = func.attr if isinstance(func, ast.Attribute) else ""
        if name == "join":
            return os.path.join(*parts)  # noqa: PTH118 - as the script does it
        if name == "dirname":
            return os.path.dirname(parts[0])  # noqa: PTH120
        absolute = name in ("abspath", "realpath", "normpath") and parts[0].startswith("/")
        return os.path.normpath(parts[0]) if absolute else None
