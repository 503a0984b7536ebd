"""Changes that make an artifact faulty, or another sound one.

Patterns are regular expressions, searched in the names of tensors or layers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.lint_cases import Change, Model


def configure(**values: Any) -> Change:
    """Set keys of config.json; None removes them."""

    def change(model: Model) -> None:
        model.config.update(values)
        for key in [key for key, value in values.items() if value is None]:
            del model.config[key]

    return change


def describe(**values: Any) -> Change:
    """Set keys of the description."""
    return lambda model: (model.description or {}).update(values)


def drop(pattern: str) -> Change:
    """Remove tensors and what is said of them."""
    return _for_each(pattern, lambda model, name: model.remove(name))


def unstore(pattern: str) -> Change:
    """Remove tensors; the description keeps them."""
    return _for_each(pattern, lambda model, name: model.tensors.pop(name))


def undescribe(pattern: str) -> Change:
    """Remove tensors from the description."""
    return _for_each(pattern, lambda model, name: (model.description or {}).pop(name, None))


def retype(pattern: str, dtype: str) -> Change:
    """Give tensors another element type."""

    def change(model: Model, name: str) -> None:
        model.tensors[name] = (dtype, model.tensors[name][1])

    return _for_each(pattern, change)


def _for_each(pattern: str, act: Callable[[Model, str], object]) -> Change:
    def change(model: Model) -> None:
        for name in [name for name in model.tensors if re.search(pattern, name)]:
            act(model, name)

    return change


def store(name: str, dtype: str, *shape: int, kind: str = "FLOAT") -> Change:
    """Add a tensor."""
    return lambda model: model.add(name, (dtype, shape), kind)


def requantize(pattern: str, scheme: str) -> Change:
    """Store layers in another scheme of the twins."""
    return lambda model: model.requantize(pattern, scheme)


def put(path: str, content: bytes | str | Mapping[str, Any]) -> Change:
    """Add or replace a file beside the weights; a table is written as JSON."""
    text = content if isinstance(content, bytes | str) else json.dumps(content)
    raw = text if isinstance(text, bytes) else text.encode()
    return lambda model: model.files.update({path: raw})


def remove(*paths: str) -> Change:
    """Leave files out."""
    return finish(lambda folder: _unlink(folder, paths))


def _unlink(folder: Path, paths: Iterable[str]) -> None:
    for path in paths:
        (folder / path).unlink()


def finish(act: Callable[[Path], object]) -> Change:
    """Do something to the folder at the end."""
    return lambda model: model.finishing.append(act)


def arrange(**values: Any) -> Change:
    """Set `prefix`, `shards`, `indexed` or `description` of the model itself."""

    def change(model: Model) -> None:
        for key, value in values.items():
            setattr(model, key, value)

    return change


def half(model: Model) -> None:
    """Make it the float16 model's quantization, as msmodelslim 26.1.0 writes that."""
    model.config["torch_dtype"] = "float16"
    for name, (dtype, shape) in list(model.tensors.items()):
        if dtype == "BF16":
            model.tensors[name] = ("F16", shape)
        elif name.endswith(".deq_scale"):
            model.tensors[name] = ("I64", shape)


def microscaled(group: int) -> Change:
    """Store every layer in ModelSlim's W8A8_MXFP8, `group` weights to a scale."""

    def change(model: Model) -> None:
        assert model.description is not None
        model.description["group_size"] = group
        for name, part in model.parts.items():
            if name != "lm_head":
                rows, columns = part.shape
                scale = ("U8", (rows, columns // group))
                tensors = {"weight": ("F8_E4M3", part.shape), "weight_scale": scale}
                model.replace(name, tensors, "W8A8_MXFP8")

    return change
