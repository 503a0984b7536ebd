"""What a recipe from an artifact may not hold: paths, and code.

A recipe says how layers are quantized. The tools take more from it (llmcompressor 0.14.0.1 with
compressed-tensors 0.19.0, msmodelslim 26.1.0, by their sources):

- `observer: some/file.py:Class` in a scheme runs that file (`compressed_tensors/registry`,
  `_import_and_get_value_from_module`), as does `type:` of a transform;
- a schedule `calc(…)` of pruning modifiers is evaluated as Python (`pruning/helpers.py`);
- `report_path` of REAP names a file that is written, `safetensors_name` of ModelSlim's v0
  `calib_save_params` another one;
- `dataset`, `prior[].dataset`, `calib_dataset` and `anti_dataset` of ModelSlim may be paths.

Someone who runs a recipe of their own may want all of that. Where it comes from an artifact, the
user has named none of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from quantizers.recipe import parse_yaml
from registry.errors import IncompatibleError

# What people read, and no tool: `title: W8A8/W4A8 mixture`.
_WORDS = frozenset({"title", "description", "metadata"})
_NAMES = frozenset({"observer", "dataset", "calib_dataset", "anti_dataset", "type"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_CODE = re.compile(r"\.py[cw]?\b", re.IGNORECASE)
_FILES = re.compile(r"(?:.*_)?(?:path|dir|directory|folder|file)\Z|safetensors_name\Z|json_name\Z")
_MOST = 200  # characters of a value in a message


def check_recorded_recipe(text: str, artifact: str) -> None:
    """Refuse a recipe of an artifact that names files or code.

    Args:
        text: YAML in qreg's layout or a tool's own.
        artifact: whose recipe it is, for the message.

    Raises:
        IncompatibleError: it names such a thing; the message says where.
        UsageError: it is no YAML mapping.
    """
    label = f"the recipe of {artifact}"
    for where, problem in _problems(parse_yaml(text, label), ()):
        raise IncompatibleError(
            f"The recipe that {artifact} records is not run: {where} {problem}",
            remedy="If you know what it does, write it to a file (qreg inspect prints it) and run "
            "that: qreg quantize --recipe FILE .",
        )


def _problems(value: Any, trail: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    where = ".".join(trail)
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if len(trail) < 2 and key in _WORDS:
                continue
            below = (*trail, _shown(key)[1:-1])
            # Numbers, such as `part_file_size: 4`, name no file.
            if _FILES.match(str(key)) and isinstance(inner, str):
                yield ".".join(below), f"names a file, {_shown(inner)}"
            yield from _problems(key, below)
            yield from _problems(inner, below)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _problems(inner, (*trail, str(number)))
    elif isinstance(value, str):
        key = next((part for part in reversed(trail) if not part.isdigit()), "")
        if "/" in value:
            yield where, f"holds a path, {_shown(value)}"
        elif value.lstrip().startswith("calc("):
            yield where, f"holds code, {_shown(value)}"
        elif _CODE.search(value):
            yield where, f"names a file of Python, {_shown(value)}"
        elif _is_name(key) and value != key and not _NAME.match(value):
            yield where, f"is no plain name, but {_shown(value)}"
    elif not isinstance(value, int | float | None):
        # Bytes (`!!binary`) become texts again where a tool reads them.
        yield where, f"is no text, number, list or table, but {type(value).__name__}"


def _is_name(key: str) -> bool:
    """Whether the tools look a value up by its name; `weight_observer` is one of several."""
    return key.lower() in _NAMES or key.lower().endswith("observer")


def _shown(value: Any) -> str:
    text = str(value)
    return repr(text[:_MOST])
