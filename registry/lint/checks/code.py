"""Checks of the Python code that comes with a model, for `--trust-remote-code`; it is never run."""

from __future__ import annotations

import ast
import warnings
from collections import deque
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from registry.finding import ERROR, WARNING
from registry.lint.check import Found, check
from registry.lint.subject import Subject

# Parsed code takes some hundred times its size. Real files have up to 200 KB, models up to ten.
_LARGEST = 2**18  # bytes of a file
_MOST = 2**20  # bytes of all files that are parsed


@dataclass
class RemoteCode:
    """The Python files that `auto_map` names, and those that they import relatively.

    Attributes:
        files: those that are there.
        references: what `auto_map` names, and the file that says so.
        missing: modules that are imported and are not there, and the file that imports them.
    """

    files: set[str] = field(default_factory=set)
    references: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


@check(
    "remote-code-missing",
    ERROR,
    prevents="--trust-remote-code is given, and the code is not there, or comes from the internet.",
    seen="clusters without internet; quantizers that copy .json files only",
    fix="Copy the .py files from the base model (qreg lint --fix --base MODEL).",
    mendable=True,
)
def remote_code_missing(subject: Subject) -> Iterator[Found]:
    code = remote_code(subject)
    for reference, path in code.references.items():
        repository, separator, name = reference.rpartition("--")
        file = _file_of(reference)
        if separator:
            yield Found(
                f"{path} takes {name} from the repository {repository[:80]!r}, not from here",
                path,
                WARNING,
                fix="Copy that file here and name it without the repository.",
            )
        elif file not in subject.files:
            yield Found(f"{path} names {reference[:80]}, but {file[:80]} is not there", path)
    for module, path in code.missing.items():
        yield Found(f"{path} imports {module[:80]}, which is not there", path)


def remote_code(subject: Subject) -> RemoteCode:
    """Follow `auto_map` and relative imports; other imports are of installed packages."""
    code, left = RemoteCode(), _MOST
    for path in ("config.json", "tokenizer_config.json"):
        config = subject.checkpoint.config if path == "config.json" else subject.settings(path)
        for reference in _code_references(config.get("auto_map")):
            code.references.setdefault(reference, path)
    named = [_file_of(reference) for reference in code.references if "--" not in reference]
    waiting = deque(file for file in named if file in subject.files)
    while waiting:
        path = waiting.popleft()
        size = subject.files[path]
        if path in code.files or size > _LARGEST or size > left:
            code.files.add(path)
            continue
        code.files.add(path)
        left -= size
        for module in _relative_imports(subject.text(path) or "", path, subject.files):
            found = [file for file in _files_of(module) if file in subject.files]
            if found:
                waiting.append(found[0])
            else:
                code.missing.setdefault(_files_of(module)[0], path)
    return code


def _file_of(reference: str) -> str:
    return f"{reference.rpartition('--')[2].partition('.')[0]}.py"


def _files_of(module: str) -> tuple[str, str]:
    return f"{module}.py", f"{module}/__init__.py"


def _code_references(auto_map: Any) -> list[str]:
    values = auto_map.values() if isinstance(auto_map, Mapping) else ()
    flat = [v for value in values for v in (value if isinstance(value, list) else [value])]
    return [value for value in flat if isinstance(value, str)]


def _relative_imports(text: str, path: str, files: Container[str]) -> Iterator[str]:
    """The modules that a file imports relatively, as paths without `.py`; none if it is no Python.

    What a `try` or an `if` guards is left out: the file may do without it.
    """
    try:
        with warnings.catch_warnings():  # of odd escapes in texts
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    folder = PurePosixPath(path).parent
    for node in tree.body:
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        parents = [folder, *folder.parents]
        if node.level > len(parents):
            continue  # out of the artifact
        base = parents[node.level - 1]
        if node.module:
            yield str(base / node.module.replace(".", "/"))
        elif str(base / "__init__.py") not in files:  # of a package they may be anything
            yield from (str(base / alias.name) for alias in node.names if alias.name != "*")


CHECKS = (remote_code_missing,)
