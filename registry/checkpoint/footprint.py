"""Bytes and parameters by element type and by component, from the headers; they sum exactly."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from registry.checkpoint.checkpoint import Checkpoint
from registry.checkpoint.components import Components, is_quantization_part
from registry.checkpoint.quantization import Quantization
from registry.checkpoint.quantization.packing import packed_values

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
        together they are the size of the shards. `beside`: bytes of safetensors files that are
        no shards of the model: rotations, other ranks of an engine's own layout, other formats.
        `tensors`: their number. `by_dtype`,
        `by_component`: bytes. `parameters`: the model's values, with
        `parameters_by_dtype` and `parameters_by_component`; scales, offsets and rotations are
        counted as bytes of the component `quantization_scales` and not as parameters.
    """
    layers_of = {layer.tensor.name: layer for layer in quantization.layers}
    components = Components(layers)
    # Bytes and values by component and dtype, of which there are few combinations.
    found: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for name, tensor in checkpoint.tensors.items():
        layer = layers_of.get(name)
        if layer is not None:
            entry = found[layer.component, tensor.dtype]
            entry[1] += packed_values(layer, checkpoint.tensors)
        elif is_quantization_part(name):
            entry = found[SCALES, tensor.dtype]
        else:
            entry = found[components.of(name), tensor.dtype]
            entry[1] += tensor.elements
        entry[0] += tensor.size
    sizes: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    parameters: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for (component, dtype), (size, count) in found.items():
        for number, key in enumerate((dtype, component)):
            sizes[number][key] += size
            if component != SCALES:
                parameters[number][key] += count
    return {
        "weights": sizes[0].total(),
        "headers": sum(checkpoint.header_sizes.values()),
        "beside": sum(
            size
            for path, size in checkpoint.files.items()
            if path.endswith(".safetensors") and path not in checkpoint.header_sizes
        ),
        "tensors": len(checkpoint.tensors),
        "by_dtype": _largest_first(sizes[0].items()),
        "by_component": _largest_first(sizes[1].items()),
        "parameters": parameters[0].total(),
        "parameters_by_dtype": _largest_first(parameters[0].items()),
        "parameters_by_component": _largest_first(parameters[1].items()),
    }


def _largest_first(items: Iterable[tuple[str, int]]) -> dict[str, int]:
    return dict(sorted(items, key=lambda item: (-item[1], item[0])))
