"""What a script of ModelSlim's repository takes and needs, read from its source and never run.

Scripts name their options differently, read their sets as a JSON array or as JSON Lines, and some
work on NPUs alone. All of that stands in calls with constants: `add_argument("--calib_dataset",
default="../common/….json")`, `get_valid_read_path(args.calib_dataset, "json")`, `import torch_npu`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePath

from quantizers.modelslim.script_values import Values
from quantizers.samples import ARRAY, LINES

_NPU_PACKAGE = "torch_npu"
_NPU_KEYWORDS = ("dev_type", "device_type")
_SHAPES = {"json": ARRAY, "jsonl": LINES}


@dataclass(frozen=True)
class ScriptSource:
    """A script's source, read.

    Attributes:
        options: default of each option; None where the source gives none that can be told.
        switches: options that take no value.
        words: all texts in the source, as options may be added by a helper.
        shapes: of the file that an option names, `array` or `lines`, where the source tells.
        npu: the line that needs an NPU, for people; empty where none is seen.
    """

    options: Mapping[str, str | None] = field(default_factory=dict)
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
        return self.options.get(option) or ""

    def shape(self, option: str) -> str:
        """The shape of the file that an option names; empty where nothing tells it."""
        return self.shapes.get(option, "")

    def relative_paths(self, folder: Path) -> Iterator[str]:
        """Files and folders that the source names by a path relative to its own folder."""
        defaults = {value for value in self.options.values() if value}
        for word in sorted(self.words | defaults):
            path = PurePath(word)
            if not 0 < len(word) < 256 or path.is_absolute() or "\n" in word or "\0" in word:
                continue
            named = path.suffix and (folder / path).is_file()
            if named or (word in defaults and len(path.parts) > 1 and (folder / path).is_dir()):
                yield word


@lru_cache(maxsize=8)  # each step of a quantization asks it of the same script
def read_source(text: str, file: str = "") -> ScriptSource:
    """Read a script; one that Python cannot parse has no options.

    Args:
        text: of the script.
        file: its path, which the script knows as `__file__`.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ScriptSource()
    values = Values(tree, file)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    added = list(_added(calls, values))
    options = {name: default for name, default, _, _ in added}
    return ScriptSource(
        options=options,
        switches=frozenset(name for name, _, switch, _ in added if switch),
        words=frozenset(
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ),
        shapes=_shapes(calls, values, options, {name: dest for name, _, _, dest in added}),
        npu=_npu(tree, values),
    )


def _added(calls: list[ast.Call], values: Values) -> Iterator[tuple[str, str | None, bool, str]]:
    """Name, default, whether it is a switch, and attribute of every option that is added."""
    for call in calls:
        if _name(call.func) != "add_argument":
            continue
        given = {keyword.arg: values.text(keyword.value) for keyword in call.keywords}
        switch = (given.get("action") or "").startswith(("store_true", "store_false"))
        for name in (values.text(arg) for arg in call.args):
            if name and name.startswith("-"):
                dest = given.get("dest") or name.lstrip("-").replace("-", "_")
                yield name, given.get("default"), switch, dest


def _shapes(
    calls: list[ast.Call],
    values: Values,
    options: Mapping[str, str | None],
    attributes: Mapping[str, str],
) -> dict[str, str]:
    """What each option's file looks like: by how it is checked, its default, else how it is read.

    Scripts of the repository check a path with `get_valid_read_path(PATH, "json")`; others name
    their own set by default, or read every set in one way.
    """
    checked: dict[str, str] = {}
    for call in calls:
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        suffixes = [text for one in given for text in values.texts(one)]
        shape = next((s for text in suffixes if (s := _SHAPES.get(text.lstrip(".")))), "")
        for arg in given if shape else ():
            checked.setdefault(values.attribute(arg), shape)
    usual = _usual_shape(calls)
    found = {}
    for option, default in options.items():
        named = _SHAPES.get(PurePath(default).suffix.lstrip("."), "") if default else ""
        if shape := checked.get(attributes[option]) or named or usual:
            found[option] = shape
    return found


def _usual_shape(calls: list[ast.Call]) -> str:
    """How a script reads every file of JSON; empty where it has both ways, or none.

    `json.load` reads a whole file, `json.loads` a line.
    """
    ways = {
        {"load": ARRAY, "loads": LINES}.get(call.func.attr, "")
        for call in calls
        if isinstance(call.func, ast.Attribute) and _name(call.func.value) == "json"
    }
    ways |= {LINES for call in calls if _name(call.func) == "load_jsonl"}
    ways.discard("")
    return ways.pop() if len(ways) == 1 else ""


def _name(node: ast.expr) -> str:
    """The last part of a name: `dataset` of `args.dataset`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _npu(tree: ast.Module, values: Values) -> str:
    """The first line that fails where there is no NPU.

    Only what always runs counts: nothing in a branch, nothing that is tried; a device that is
    written down, not one that is chosen.
    """
    for node in _always(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        if any(name.partition(".")[0] == _NPU_PACKAGE for name in names):
            return f"it imports {_NPU_PACKAGE}, line {getattr(node, 'lineno', '?')}"
        if isinstance(node, ast.Attribute) and node.attr == "npu" and _name(node.value) == "torch":
            return f"it uses torch.npu, line {node.lineno}"
        if not isinstance(node, ast.Call):
            continue
        for keyword in node.keywords:
            value = values.text(keyword.value)
            if keyword.arg in _NPU_KEYWORDS and value and value.partition(":")[0] == "npu":
                return f"it works with {keyword.arg}={value!r}, line {keyword.value.lineno}"
    return ""


def _always(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes below one that run whenever it does, functions taken to be called."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If):
            if not _is_main(child.test):
                continue
        elif isinstance(child, ast.Try | ast.IfExp | ast.BoolOp):
            continue
        yield child
        yield from _always(child)


def _is_main(test: ast.expr) -> bool:
    """Whether a test is that of `if __name__ == "__main__":`."""
    return isinstance(test, ast.Compare) and _name(test.left) == "__name__"
