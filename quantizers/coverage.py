"""Checking that the layers a recipe names are quantized, by the headers of source and output.

A tool's exit code and its word "done" are not believed: both known quantizers can end well and
leave layers as they were.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from registry.checkpoint import Checkpoint
from registry.checkpoint.components import module_of
from registry.checkpoint.quantization.layers import is_linear_weight
from registry.checkpoint.safetensors import Tensor

# Fused experts are one 3-D tensor in some checkpoints and one matrix each in others.
_FUSED = {"gate_up_proj": ("gate_proj", "up_proj"), "down_proj": ("down_proj",)}


def uncovered_layers(
    source: Checkpoint, output: Checkpoint, quantizing: Iterable[Mapping[str, Any]]
) -> list[str]:
    """Linear layers of the source that a modifier targets and that the output holds as floats.

    Args:
        source: the model before.
        output: the model after.
        quantizing: `targets` and `ignore` of each modifier, in compressed-tensors' language: a
            module's class (`Linear`), its full name, or `re:` and a regular expression that
            matches from the name's start.

    Returns:
        Module names, sorted.
    """
    rules = [(_names(rule.get("targets")), _names(rule.get("ignore"))) for rule in quantizing]
    wanted = sorted(
        layer
        for tensor in source.tensors.values()
        if is_linear_weight(tensor)
        for layer in _layers(tensor)
        if any(_targets(layer, targets, ignored) for targets, ignored in rules)
    )
    return [layer for layer in wanted if not _is_quantized(layer, output.tensors)]


def _layers(tensor: Tensor) -> list[str]:
    parent, _, leaf = tensor.name.rpartition(".")
    if len(tensor.shape) == 3 and leaf in _FUSED:
        return [
            f"{parent}.{expert}.{part}"
            for expert in range(tensor.shape[0])
            for part in _FUSED[leaf]
        ]
    return [module_of(tensor.name)]


def _targets(layer: str, targets: list[str], ignored: list[str]) -> bool:
    if any(_matches(layer, pattern) for pattern in ignored):
        return False
    return any(target == "Linear" or _matches(layer, target) for target in targets)


def _matches(layer: str, pattern: str) -> bool:
    if pattern.startswith("re:"):
        return re.match(pattern.removeprefix("re:"), layer) is not None
    return layer == pattern


def _is_quantized(layer: str, tensors: Mapping[str, Tensor]) -> bool:
    if f"{layer}.weight_packed" in tensors:
        return f"{layer}.weight_scale" in tensors
    weight = tensors.get(f"{layer}.weight")
    stored = weight is not None and (weight.dtype in ("I8", "U8") or weight.dtype.startswith("F8"))
    return stored and f"{layer}.weight_scale" in tensors


def _names(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(item) for item in value or ()]
