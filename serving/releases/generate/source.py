"""Python sources as trees: what a name stands for, followed through imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

UNKNOWN = object()


@dataclass(frozen=True)
class Module:
    """One module: its dotted name, file and tree, and what its top level binds."""

    name: str
    path: Path
    tree: ast.Module
    bindings: dict[str, ast.AST]
    imports: dict[str, tuple[str, str]]


class Sources:
    """The modules below a folder."""

    def __init__(self, root: Path, package: str) -> None:
        self.root = root
        self.package = package

    def __hash__(self) -> int:
        return id(self)

    def files(self) -> Iterator[Path]:
        """Every Python file of the package, sorted."""
        yield from sorted((self.root / self.package).rglob("*.py"))

    def relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def module_at(self, path: str | Path) -> Module:
        """The module of a file, absolute or relative to the root."""
        relative = (self.root / path).relative_to(self.root).with_suffix("")
        parts = relative.parts[:-1] if relative.name == "__init__" else relative.parts
        found = self.module(".".join(parts))
        if found is None:
            raise FileNotFoundError(f"{path} is not in {self.root}")
        return found

    @cache  # noqa: B019 - lives as long as the program
    def module(self, name: str) -> Module | None:
        """A module by its dotted name; None where it is not of this package."""
        base = self.root.joinpath(*name.split("."))
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                tree = ast.parse(path.read_text(encoding="utf-8-sig"))
                bindings: dict[str, ast.AST] = {}
                imports: dict[str, tuple[str, str]] = {}
                package = name if path.name == "__init__.py" else name.rpartition(".")[0]
                _bind(tree.body, package, bindings, imports)
                return Module(name, path, tree, bindings, imports)
        return None

    def resolve(self, module: Module, name: str) -> tuple[Module, ast.AST] | None:
        """What a top-level name stands for: a class, a function or the value assigned to it."""
        for _ in range(10):
            if name in module.bindings:
                return module, module.bindings[name]
            if name not in module.imports:
                return None
            target, name = module.imports[name]
            found = self.module(target)
            if found is None:
                return None
            module = found
        return None

    def literal(self, module: Module, node: ast.AST | None) -> Any:
        """The value of an expression of constants and names of constants, else UNKNOWN."""
        if node is None:
            return UNKNOWN
        if isinstance(node, ast.Name):
            found = self.resolve(module, node.id)
            if found is None or isinstance(found[1], ast.ClassDef | ast.FunctionDef):
                return UNKNOWN
            return self.literal(*found)
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            items = [self.literal(module, item) for item in node.elts]
            return UNKNOWN if any(item is UNKNOWN for item in items) else items
        if isinstance(node, ast.Dict):
            keys = [self.literal(module, key) for key in node.keys]
            values = [self.literal(module, value) for value in node.values]
            mixed = [*keys, *values]
            if any(item is UNKNOWN for item in mixed):
                return UNKNOWN
            return dict(zip(keys, values, strict=True))
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return UNKNOWN


def _bind(
    body: list[ast.stmt],
    package: str,
    bindings: dict[str, ast.AST],
    imports: dict[str, tuple[str, str]],
) -> None:
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            bindings[node.name] = node
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    bindings[target.id] = node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            bindings[node.target.id] = node.value
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(node, package)
            for alias in node.names:
                imports[alias.asname or alias.name] = (origin, alias.name)
        elif isinstance(node, ast.If):
            # What only type checkers see is not what the program has.
            if ast.unparse(node.test) not in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
                _bind(node.body, package, bindings, imports)
            _bind(node.orelse, package, bindings, imports)
        elif isinstance(node, ast.Try):
            _bind([*node.body, *node.orelse], package, bindings, imports)


def _origin(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    base = package.split(".")
    base = base[: len(base) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Every call below a node, in the order of the text."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    yield from sorted(found, key=lambda node: (node.lineno, node.col_offset))


def called(node: ast.Call) -> str:
    """The last part of what is called: `get` for `a.b.get(…)`."""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def text_of(node: ast.AST | None) -> str | None:
    """A constant string, else None."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return None
