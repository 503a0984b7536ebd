"""What a script of ModelSlim's repository takes and needs, read from its source and never run.

Scripts name their options differently, read their sets as a JSON array or as JSON Lines, and some
work on NPUs alone. All of that stands in calls with constants: `add_argument("--calib_dataset",
default="../common/….json")`, `get_valid_read_path(args.calib_dataset, "json")`, `import torch_npu`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from quantizers.samples import ARRAY, LINES

_NPU_PACKAGE = "torch_npu"
_NPU_KEYWORDS = ("dev_type", "device_type")


@dataclass(frozen=True)
class ScriptSource:
    """A script's source, read.

    Attributes:
        options: default of each option, as the source has it; None where it gives no constant.
        switches: options that take no value.
        words: all texts in the source, as options may be added by a helper.
        shapes: of the file that an option names, `array` or `lines`, where the source tells.
        npu: the line that needs an NPU, for people; empty where none is seen.
    """

    options: Mapping[str, object] = field(default_factory=dict)
    switches: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    shapes: Mapping[str, str] = field(default_factory=dict)
    npu: str = ""

    def option(self, *names: str) -> str:
        """The first of some names that the script takes; empty if it takes none."""
        return next((name for name in names if name in self.options or name in self.words), "")

    def full(self, name: str) -> str:
        """An option by its whole name: argparse takes any beginning that only one has."""
        if name in self.options or not name.startswith("--"):
            return name
        candidates = [option for option in self.options if option.startswith(name)]
        return candidates[0] if len(candidates) == 1 else name

    def default(self, option: str) -> str:
        """The path that an option has by default; empty if it has none."""
        value = self.options.get(option)
        return value if isinstance(value, str) else ""

    def shape(self, option: str) -> str:
        """The shape of the file that an option names; JSON Lines where nothing tells it."""
        return self.shapes.get(option, LINES)

    def relative_paths(self, folder: Path) -> Iterator[str]:
        """Files and folders that the source names by a path relative to its own folder."""
        defaults = {value for value in self.options.values() if isinstance(value, str)}
        for word in sorted(self.words):
            path = PurePath(word)
            if not 0 < len(word) < 256 or path.is_absolute() or "\n" in word or "\0" in word:
                continue
            named = path.suffix and (folder / path).is_file()
            if named or (word in defaults and len(path.parts) > 1 and (folder / path).is_dir()):
                yield word


def read_source(text: str) -> ScriptSource:
    """Read a script; one that Python cannot parse has no options."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ScriptSource()
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    added = list(_added(calls))
    options = {name: default for name, default, _ in added}
    return ScriptSource(
        options=options,
        switches=frozenset(name for name, _, switch in added if switch),
        words=frozenset(
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ),
        shapes=_shapes(calls, options),
        npu=_npu(tree, calls),
    )


def _added(calls: list[ast.Call]) -> Iterator[tuple[str, object, bool]]:
    """Name, default and whether it is a switch, of every option that is added with constants."""
    for call in calls:
        if _name(call.func) != "add_argument":
            continue
        given = {k.arg: k.value.value for k in call.keywords if isinstance(k.value, ast.Constant)}
        switch = str(given.get("action", "")).startswith(("store_true", "store_false"))
        for arg in call.args:
            name = arg.value if isinstance(arg, ast.Constant) else None
            if isinstance(name, str) and name.startswith("-"):
                yield name, given.get("default"), switch


def _shapes(calls: list[ast.Call], options: Mapping[str, object]) -> dict[str, str]:
    """What each option's file looks like: by how it is checked, its default, else how it is read.

    Scripts of the repository check a path with `get_valid_read_path(PATH, "json")`; others name
    their own set by default, or read every set in one way.
    """
    checked: dict[str, str] = {}
    for call in calls:
        constants = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
        texts = [value for value in constants if isinstance(value, str)]
        shape = next((s for text in texts if (s := _shape_of_suffix(f".{text}"))), "")
        for arg in call.args if shape else ():
            checked.setdefault(_name(arg), shape)
    # `json.loads` reads a line, `json.load` a whole file.
    names = {_name(call.func) for call in calls}
    usual = LINES if {"loads", "load_jsonl"} & names or "load" not in names else ARRAY
    found = {}
    for option, default in options.items():
        name = option.lstrip("-").replace("-", "_")
        named = _shape_of_suffix(PurePath(default).suffix) if isinstance(default, str) else ""
        found[option] = checked.get(name) or named or usual
    return found


def _shape_of_suffix(suffix: str) -> str:
    return {".json": ARRAY, ".jsonl": LINES}.get(suffix, "")


def _name(node: ast.expr) -> str:
    """The last part of a name: `dataset` of `args.dataset`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _npu(tree: ast.Module, calls: list[ast.Call]) -> str:
    """The first line that fails where there is no NPU.

    Only what always runs counts: an import at the top, not one in `try` or `if`; a device that is
    written down, not one that is chosen.
    """
    for statement in tree.body:
        names: list[str] = []
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            names = [statement.module or ""]
        if any(name.partition(".")[0] == _NPU_PACKAGE for name in names):
            return f"it imports {_NPU_PACKAGE}, line {statement.lineno}"
    for call in calls:
        for keyword in call.keywords:
            value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
            written = isinstance(value, str) and value.partition(":")[0] == "npu"
            if keyword.arg in _NPU_KEYWORDS and written:
                return f"it works with {keyword.arg}={value!r}, line {keyword.value.lineno}"
    return ""
