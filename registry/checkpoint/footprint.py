"""Bytes and parameters by element type and by component, from the headers; they sum exactly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from registry.checkpoint.checkpoint import Checkpoint
from registry.checkpoint.components import Components, is_quantization_part
from registry.checkpoint.packing import packed_values
from registry.checkpoint.quantization import Quantization

SCALES = "quantization_scales"


def read_footprint(
    checkpoint: Checkpoint, quantization: Quantization, layers: int | None
) -> dict[str, Any]:
    """The manifest's `footprint` section.

    Args:
        checkpoint: its metadata.
        quantization: how it is quantized, to count the values that packed elements hold.
        layers: how many decoder layers config.json counts, or None.

    Returns:
        `weights`, `headers`: bytes of all tensors, and of what stands before them in the shards;
        together they are the size of the shards. `tensors`: their number. `by_dtype`,
        `by_component`: bytes. `parameters`: the model's values, with
        `parameters_by_dtype` and `parameters_by_component`; scales, offsets and rotations are
        counted as bytes of the component `quantization_scales` and not as parameters.
    """
    values = {
        layer.tensor.name: packed_values(layer, checkpoint.tensors) for layer in quantization.layers
    }
    components = Components(layers)
    sizes: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    parameters: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for name, tensor in checkpoint.tensors.items():
        part = name not in values and is_quantization_part(name)
        component = SCALES if part else components.of(name)
        sizes[0][tensor.dtype] += tensor.size
        sizes[1][component] += tensor.size
        if not part:
            count = values.get(name)
            count = tensor.elements if count is None else count
            parameters[0][tensor.dtype] += count
            parameters[1][component] += count
    return {
        "weights": sizes[0].total(),
        "headers": sum(checkpoint.header_sizes.values()),
        "tensors": len(checkpoint.tensors),
        "by_dtype": _largest_first(sizes[0].items()),
        "by_component": _largest_first(sizes[1].items()),
        "parameters": parameters[0].total(),
        "parameters_by_dtype": _largest_first(parameters[0].items()),
        "parameters_by_component": _largest_first(parameters[1].items()),
    }


def _largest_first(items: Iterable[tuple[str, int]]) -> dict[str, int]:
    return dict(sorted(items, key=lambda item: (-item[1], item[0])))
