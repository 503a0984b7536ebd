"""Bytes by element type and by component, from the headers; both sum to all tensors exactly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from registry.checkpoint.components import component_of, is_quantization_part
from registry.checkpoint.safetensors import Tensor


def read_footprint(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The manifest's `footprint` section.

    Returns:
        `{"weights": bytes, "by_dtype": {dtype: bytes}, "by_component": {component: bytes},
        "tensors": count}`.
    """
    by_dtype: Counter[str] = Counter()
    by_component: Counter[str] = Counter()
    for tensor in tensors.values():
        by_dtype[tensor.dtype] += tensor.size
        by_component[_component(tensor.name)] += tensor.size
    return {
        "weights": by_dtype.total(),
        "tensors": len(tensors),
        "by_dtype": _largest_first(by_dtype.items()),
        "by_component": _largest_first(by_component.items()),
    }


def _component(name: str) -> str:
    return "quantization_scales" if is_quantization_part(name) else component_of(name)


def _largest_first(items: Iterable[tuple[str, int]]) -> dict[str, int]:
    return dict(sorted(items, key=lambda item: (-item[1], item[0])))
