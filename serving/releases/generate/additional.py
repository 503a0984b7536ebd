"""Keys of `--additional-config` that the plugin reads, also those below other keys.

vLLM takes any key in silence, so the readers themselves are looked at: `….get("key", default)`,
`…["key"]`, `"key" in …` on the configuration, on variables and attributes that hold a part of it,
and in the classes that such a part is handed to.
"""

from __future__ import annotations

import ast
from typing import Any

from serving.releases.generate.source import (
    UNKNOWN,
    Module,
    Sources,
    called,
    calls,
    text_of,
)

Row = dict[str, Any]
_READS = ("get", "pop", "setdefault")
_NAME = "additional_config"


def additional_keys(sources: Sources) -> dict[str, Row]:
    """Dotted key: the file that reads it, its default, and the variable that it stands in for."""
    found: dict[str, Row] = {}
    for path in sources.files():
        if _NAME in path.read_text(encoding="utf-8"):
            module = sources.module_at(path)
            for scope in _scopes(module.tree):
                _Reader(sources, module, found).read(scope, {})
    return dict(sorted(found.items()))


class _Reader:
    """Collects the keys that one scope reads; `held` says which names hold which part."""

    def __init__(self, sources: Sources, module: Module, found: dict[str, Row]) -> None:
        self.sources = sources
        self.module = module
        self.found = found

    def read(self, scope: ast.AST, held: dict[str, str]) -> None:
        """Read a function or class; part "" is the whole configuration."""
        held = dict(held)
        for node in _in_order(scope):
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                self._assigned(node, held)
            elif isinstance(node, ast.Call):
                self._call(node, held)
            elif isinstance(node, ast.Subscript) and (key := text_of(node.slice)):
                self._add(self._part(node.value, held), key, UNKNOWN)
            elif (
                isinstance(node, ast.Compare)
                and isinstance(node.ops[0], ast.In | ast.NotIn)
                and (key := text_of(node.left))
            ):
                self._add(self._part(node.comparators[0], held), key, UNKNOWN)

    def _assigned(self, node: ast.Assign | ast.AnnAssign, held: dict[str, str]) -> None:
        part = self._part(node.value, held)
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            if part is not None:
                held[ast.unparse(target)] = part

    def _part(self, node: ast.AST | None, held: dict[str, str]) -> str | None:
        """The part of the configuration that an expression stands for, if it is one."""
        if node is None:
            return None
        if isinstance(node, ast.BoolOp):
            parts = [self._part(value, held) for value in node.values[:1]]
            return parts[0]
        if isinstance(node, ast.IfExp):
            return self._part(node.body, held)
        if isinstance(node, ast.Call):
            if called(node) == "getattr" and len(node.args) > 1:
                return "" if text_of(node.args[1]) == _NAME else None
            if isinstance(node.func, ast.Attribute) and node.func.attr in _READS and node.args:
                base, key = self._part(node.func.value, held), text_of(node.args[0])
                return None if base is None or key is None else _join(base, key)
            return None
        if isinstance(node, ast.Subscript) and (key := text_of(node.slice)):
            base = self._part(node.value, held)
            return None if base is None else _join(base, key)
        text = ast.unparse(node)
        if text in held:
            return held[text]
        if isinstance(node, ast.Attribute) and node.attr == _NAME:
            return ""
        return "" if text == _NAME else None

    def _call(self, node: ast.Call, held: dict[str, str]) -> None:
        if isinstance(node.func, ast.Attribute) and node.func.attr in _READS and node.args:
            if key := text_of(node.args[0]):
                default = node.args[1] if len(node.args) > 1 else None
                value = self.sources.literal(self.module, default) if default else None
                self._add(self._part(node.func.value, held), key, value)
            return
        if called(node) == "_get_config_value" and len(node.args) > 2:
            key, variable = text_of(node.args[1]), text_of(node.args[2])
            if key and variable:
                self._add("", key, UNKNOWN)
                self.found[key]["environment"] = variable
            return
        self._handed_over(node, held)

    def _handed_over(self, node: ast.Call, held: dict[str, str]) -> None:
        """A class of this module that gets a part: its constructor reads on."""
        if not isinstance(node.func, ast.Name):
            return
        target = self.module.bindings.get(node.func.id)
        if not isinstance(target, ast.ClassDef):
            return
        init = next(
            (i for i in target.body if isinstance(i, ast.FunctionDef) and i.name == "__init__"),
            None,
        )
        if init is None:
            return
        names = [argument.arg for argument in init.args.args[1:]]
        inner = {
            name: part
            for name, value in zip(names, node.args, strict=False)
            if (part := self._part(value, held)) is not None
        }
        spread = next((k.value for k in node.keywords if k.arg is None), None)
        part = self._part(spread, held)
        if part is not None:
            self._parameters(init, part)
            if init.args.kwarg:
                inner[init.args.kwarg.arg] = part
        for part in inner.values():
            self._class_defaults(target, part)
            if part and _takes_all(init):
                self.found.setdefault(part, self._row(UNKNOWN))["open"] = True
        if inner:
            self.read(init, inner)

    def _parameters(self, init: ast.FunctionDef, part: str) -> None:
        arguments = init.args.args[1:]
        defaults = [None] * (len(arguments) - len(init.args.defaults)) + init.args.defaults
        for argument, default in zip(arguments, defaults, strict=True):
            self._add(part, argument.arg, self.sources.literal(self.module, default))

    def _class_defaults(self, target: ast.ClassDef, part: str) -> None:
        """A class that checks against a table `_defaults` takes exactly its keys."""
        for item in target.body:
            if isinstance(item, ast.Assign) and ast.unparse(item.targets[0]) == "_defaults":
                values = self.sources.literal(self.module, item.value)
                for key, value in values.items() if isinstance(values, dict) else ():
                    self._add(part, key, value)

    def _add(self, part: str | None, key: str, default: Any) -> None:
        if part is None:
            return
        row = self.found.setdefault(_join(part, key), self._row(default))
        if "default" not in row and default is not UNKNOWN:
            row["default"] = default
        if isinstance(default, dict):
            for below, value in default.items():
                self._add(_join(part, key), str(below), value)

    def _row(self, default: Any) -> Row:
        row: Row = {"source": self.sources.relative(self.module.path)}
        return row if default is UNKNOWN else {**row, "default": default}


def _scopes(tree: ast.Module) -> list[ast.AST]:
    """Top-level functions, and classes with all their methods."""
    return [node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]


def _in_order(scope: ast.AST) -> list[ast.AST]:
    nodes = [node for node in ast.walk(scope) if hasattr(node, "lineno")]
    # Assignments first on a line: what they bind is read by later ones.
    return sorted(nodes, key=lambda n: (getattr(n, "lineno", 0), not isinstance(n, ast.Assign)))


def _takes_all(init: ast.FunctionDef) -> bool:
    """Whether a constructor makes an attribute of whatever key it is given."""
    return any(called(call) == "setattr" for call in calls(init))


def _join(part: str, key: str) -> str:
    return f"{part}.{key}" if part else key
