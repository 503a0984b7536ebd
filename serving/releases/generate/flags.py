"""The flags of `vllm serve`, from the calls that add them and the fields that describe them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from serving.releases.generate.annotations import DATACLASS, LITERAL, NONE, Hint, hints_of
from serving.releases.generate.source import (
    UNKNOWN,
    Module,
    Sources,
    called,
    calls,
    text_of,
)

_ARGUMENTS = "vllm/engine/arg_utils.py"
_SERVER = "vllm/entrypoints/openai/cli_args.py"
# How many words a flag takes.
SWITCH, ONE, OPTIONAL, MANY = "switch", "one", "optional", "many"
Row = dict[str, Any]


def flags(sources: Sources) -> dict[str, Row]:
    """Flag: aliases, how many words it takes, of which type, choices, whether `--no-…` exists."""
    server = sources.module_at(_SERVER)
    engine = sources.module_at(_ARGUMENTS)
    found: dict[str, Row] = {}
    for name, row in _added(sources, server, _function(server, "make_arg_parser")):
        found[name] = {**row, "source": _SERVER}
    for name, row in _frontend(sources, server).items():
        found[name] = {**row, "source": _SERVER}
    for owner in ("EngineArgs", "AsyncEngineArgs"):
        for name, row in _added(sources, engine, _method(engine, owner, "add_cli_args")):
            found[name] = {**row, "source": _ARGUMENTS}
    return found


def _frontend(sources: Sources, module: Module) -> dict[str, Row]:
    """Every field of FrontendArgs is a flag; some get other settings by hand."""
    rows = {}
    changed = ast.unparse(module.tree)
    for name, row in _fields(sources, module, "FrontendArgs").items():
        target = f"frontend_kwargs['{name}']"
        if f"del {target}['nargs']" in changed or f"{target}['action'] = 'append'" in changed:
            row = {**row, "takes": ONE}
        if f"{target}['type'] = json.loads" in changed:
            row = {**row, "type": "json"}
        rows["--" + name.replace("_", "-")] = row
    return rows


def _added(
    sources: Sources, module: Module, function: ast.FunctionDef
) -> Iterator[tuple[str, Row]]:
    """The flags that calls of `add_argument` in a function add."""
    kwargs_of: dict[str, dict[str, Row]] = {}
    loops: dict[str, list[str]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            if called(node.value) == "get_kwargs" and isinstance(node.value.args[0], ast.Name):
                fields = _fields(sources, module, node.value.args[0].id)
                kwargs_of[ast.unparse(node.targets[0])] = fields
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript):
            fields = kwargs_of.get(ast.unparse(node.value.value), {})
            if row := fields.get(text_of(node.value.slice) or ""):
                kwargs_of[ast.unparse(node.targets[0])] = {"": row}
        elif isinstance(node, ast.For) and isinstance(node.target, ast.Name):
            values = sources.literal(module, node.iter)
            if isinstance(values, list):
                loops[node.target.id] = values
    for call in calls(function):
        if called(call) != "add_argument" or not call.args:
            continue
        first = call.args[0]
        looped = loops.get(first.id, []) if isinstance(first, ast.Name) else []
        words = [text for argument in call.args if (text := text_of(argument))]
        for group in [words] if words else [[name] for name in looped]:
            names = [word for word in group if word.startswith("-")]
            if names:
                main = next((name for name in names if name.startswith("--")), names[0])
                aliases = [name for name in names if name != main]
                yield main, _row(sources, module, call, kwargs_of, aliases)


def _row(
    sources: Sources,
    module: Module,
    call: ast.Call,
    kwargs_of: dict[str, dict[str, Row]],
    aliases: list[str],
) -> Row:
    row: Row = {"takes": ONE, "type": "str"}
    given: dict[str, ast.expr] = {}
    for keyword in call.keywords:
        if keyword.arg is None:
            described, more = _spread(keyword.value, kwargs_of)
            row, given = dict(described), {**given, **more}
        else:
            given[keyword.arg] = keyword.value
    if aliases:
        row["aliases"] = aliases
    action = ast.unparse(given["action"]).strip("'\"") if "action" in given else ""
    if action in ("store_true", "store_false"):
        row |= {"takes": SWITCH, "type": "bool"}
    elif action.endswith("BooleanOptionalAction"):
        row |= {"takes": SWITCH, "type": "bool", "negatable": True}
    if "type" in given:
        kind = ast.unparse(given["type"])
        row["type"] = kind if kind in ("int", "float") else "json" if "json" in kind else "str"
    nargs = sources.literal(module, given.get("nargs"))
    if nargs is not UNKNOWN:
        row["takes"] = OPTIONAL if nargs == "?" else MANY
    choices = sources.literal(module, given.get("choices"))
    if isinstance(choices, list):
        row["choices"] = choices
    if sources.literal(module, given.get("deprecated")) is True:
        row["deprecated"] = True
    default = sources.literal(module, given.get("default"))
    if default is not UNKNOWN and default is not None:
        row["default"] = default
    return row


def _spread(
    node: ast.expr, kwargs_of: dict[str, dict[str, Row]]
) -> tuple[Row, dict[str, ast.expr]]:
    """What `**…` hands over: a field's description, and what is written beside it."""
    if isinstance(node, ast.Subscript):
        return kwargs_of[ast.unparse(node.value)][text_of(node.slice) or ""], {}
    if isinstance(node, ast.Dict):
        row: Row = {}
        more: dict[str, ast.expr] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                row, below = _spread(value, kwargs_of)
                more |= below
            else:
                more[text_of(key) or ""] = value
        return row, more
    if isinstance(node, ast.Name) and node.id in kwargs_of:
        return kwargs_of[node.id][""], {}
    raise LookupError(f"a flag is described by {ast.unparse(node)}, which cannot be read")


def _fields(sources: Sources, module: Module, name: str) -> dict[str, Row]:
    """The fields of a configuration class and of what it inherits, as flags."""
    found = sources.resolve(module, name)
    assert found is not None
    owner, node = found
    assert isinstance(node, ast.ClassDef), name
    rows: dict[str, Row] = {}
    for base in node.bases:
        if isinstance(base, ast.Name) and sources.resolve(owner, base.id):
            rows |= _fields(sources, owner, base.id)
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            row = _of_hints(hints_of(sources, owner, item.annotation), item.target.id)
            default = _default(sources, owner, item.value)
            if default is not UNKNOWN and default is not None:
                row["default"] = default
            rows[item.target.id] = row
    return rows


def _of_hints(hints: set[Hint], name: str) -> Row:
    """The same decisions in the same order as vLLM's `_compute_kwargs`."""
    kinds = {hint[0]: hint[1] for hint in hints}
    if DATACLASS in kinds:
        return {"takes": ONE, "type": "json"}
    if set(kinds) == {"bool", "str", NONE}:
        return {"takes": OPTIONAL, "type": "str"}
    if "bool" in kinds:
        return {"takes": SWITCH, "type": "bool", "negatable": True}
    if LITERAL in kinds:
        options = list(kinds[LITERAL])
        kind = "int" if options and isinstance(options[0], int) else "str"
        if "str" in kinds:
            return {"takes": ONE, "type": kind}
        choices = sorted(options, key=str)
        return {"takes": ONE, "type": kind, "choices": choices + ["None"] * (NONE in kinds)}
    for kind in ("tuple", "list", "set"):
        if kind in kinds:
            return {"takes": MANY, "type": "str"}
    for kind in ("int", "float"):
        if kind in kinds:
            return {"takes": ONE, "type": kind}
    if "dict" in kinds:
        return {"takes": ONE, "type": "json"}
    return {"takes": ONE, "type": "str"}


def _default(sources: Sources, module: Module, node: ast.AST | None) -> Any:
    if isinstance(node, ast.Call) and called(node) in ("Field", "field"):
        for keyword in node.keywords:
            if keyword.arg == "default":
                return sources.literal(module, keyword.value)
        return sources.literal(module, node.args[0]) if node.args else UNKNOWN
    return sources.literal(module, node)


def _function(module: Module, name: str) -> ast.FunctionDef:
    node = module.bindings[name]
    assert isinstance(node, ast.FunctionDef)
    return node


def _method(module: Module, owner: str, name: str) -> ast.FunctionDef:
    node = module.bindings[owner]
    assert isinstance(node, ast.ClassDef)
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == name:
            return item
    raise LookupError(f"{owner}.{name} was not found in {module.path}")
