"""Types of fields, read from their annotations as vLLM's command line reads them."""

from __future__ import annotations

import ast

from serving.releases.generate.source import Module, Sources

# A hint is (kind, arguments): ("bool", ()), ("Literal", ("auto", "slow")), ("dataclass", ()).
Hint = tuple[str, tuple[object, ...]]
LITERAL, DATACLASS, OTHER, NONE = "Literal", "dataclass", "other", "None"
_BUILT_IN = {"bool", "int", "float", "str", "dict", "list", "tuple", "set"}
_CAPITALS = {"Dict": "dict", "List": "list", "Tuple": "tuple", "Set": "set"}
_TRANSPARENT = {"Annotated", "SkipValidation", "ClassVar", "InitVar", "Required"}


def hints_of(sources: Sources, module: Module, node: ast.AST | None) -> set[Hint]:
    """The members of a type, unions flattened and aliases followed."""
    if node is None:
        return set()
    if isinstance(node, ast.Constant):
        if node.value is None:
            return {(NONE, ())}
        if isinstance(node.value, str):
            return hints_of(sources, module, ast.parse(node.value, mode="eval").body)
        return {(OTHER, ())}
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return hints_of(sources, module, node.left) | hints_of(sources, module, node.right)
    if isinstance(node, ast.Subscript):
        return _subscripted(sources, module, node)
    if isinstance(node, ast.Name):
        return _named(sources, module, node.id)
    return {(OTHER, ())}


def _subscripted(sources: Sources, module: Module, node: ast.Subscript) -> set[Hint]:
    name = ast.unparse(node.value).rpartition(".")[2]
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if name == "Optional":
        return hints_of(sources, module, inner[0]) | {(NONE, ())}
    if name == "Union":
        return set().union(*(hints_of(sources, module, item) for item in inner))
    if name in _TRANSPARENT:
        return hints_of(sources, module, inner[0])
    if name == LITERAL:
        return {(LITERAL, tuple(_options(sources, module, inner)))}
    name = _CAPITALS.get(name, name)
    if name == "tuple":
        return {(name, (len(inner) if "..." not in map(ast.unparse, inner) else "...",))}
    return {(name if name in _BUILT_IN else OTHER, ())}


def _options(sources: Sources, module: Module, items: list[ast.expr]) -> list[object]:
    found: list[object] = []
    for item in items:
        if isinstance(item, ast.Constant):
            found.append(item.value)
        else:
            hints = hints_of(sources, module, item)
            found += [option for hint in hints if hint[0] == LITERAL for option in hint[1]]
    return found


def _named(sources: Sources, module: Module, name: str) -> set[Hint]:
    name = _CAPITALS.get(name, name)
    if name in _BUILT_IN:
        return {(name, ())}
    found = sources.resolve(module, name)
    if found is None:
        return {(OTHER, ())}
    owner, target = found
    if isinstance(target, ast.ClassDef):
        decorators = {ast.unparse(item).partition("(")[0] for item in target.decorator_list}
        return {(DATACLASS if decorators & {"config", "dataclass"} else OTHER, ())}
    if isinstance(target, ast.FunctionDef):
        return {(OTHER, ())}
    return hints_of(sources, owner, target)
