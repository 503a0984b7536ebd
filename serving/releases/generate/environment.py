"""Environment variables that the code of a release reads, with the file that reads them."""

from __future__ import annotations

import ast
import re
from typing import Any

from serving.releases.generate.source import UNKNOWN, Module, Sources, called, calls, text_of

_C_READ = re.compile(r"\bgetenv\(\s*(?:\"(\w+)\"|(\w+))\s*\)")
_TABLES = ("environment_variables", "env_variables")
# Copies of other projects and their tests are no code that a launch runs.
_FOREIGN = ("third_party", "cmake", "tests", "examples")


def variables(sources: Sources, reader: str) -> dict[str, dict[str, Any]]:
    """Name: who reads it, where, and the default that stands in the code."""
    found: dict[str, dict[str, Any]] = {}
    for path in sources.files():
        text = path.read_text(encoding="utf-8")
        if "environ" not in text and "getenv" not in text:
            continue
        module = sources.module_at(path)
        where = sources.relative(path)
        for name, default in _read_in(sources, module):
            row = found.setdefault(name, {"readers": {reader: where}})
            if where.endswith("/envs.py"):
                row["readers"][reader] = where
            if default is not UNKNOWN and default is not None:
                row.setdefault("default", default)
    for path in sorted((sources.root / "csrc").rglob("*")):
        relative = sources.relative(path)
        if path.suffix in (".cpp", ".cc", ".h") and not any(f in relative for f in _FOREIGN):
            for quoted, constant in _C_READ.findall(path.read_text(errors="replace")):
                name = quoted or constant
                if name.isupper():
                    found.setdefault(name, {"readers": {reader: relative}})
    return found


def _read_in(sources: Sources, module: Module) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Subscript) and _is_environ(node.value):
            if isinstance(node.ctx, ast.Load) and (name := text_of(node.slice)):
                rows.append((name, UNKNOWN))
        elif (
            isinstance(node, ast.Compare)
            and _is_environ(node.comparators[0])
            and (name := text_of(node.left))
        ):
            rows.append((name, UNKNOWN))
    for call in calls(module.tree):
        if not call.args or (name := text_of(call.args[0])) is None:
            continue
        function = call.func
        default = call.args[1] if len(call.args) > 1 else None
        from_environ = (
            called(call) in ("get", "pop")
            and isinstance(function, ast.Attribute)
            and _is_environ(function.value)
        )
        if called(call) in ("getenv", "env_with_choices", "env_list_with_choices") or from_environ:
            rows.append((name, sources.literal(module, default)))
    for table in _TABLES:
        values = module.bindings.get(table)
        if isinstance(values, ast.Dict) and module.name.endswith("envs"):
            rows += [(name, UNKNOWN) for key in values.keys if (name := text_of(key))]
    return rows


def _is_environ(node: ast.AST) -> bool:
    return ast.unparse(node) in ("os.environ", "environ")
