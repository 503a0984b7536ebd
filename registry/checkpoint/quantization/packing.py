"""How many values a weight tensor holds: quantizers pack several into one stored element."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from registry.checkpoint.quantization.layers import Layer
from registry.checkpoint.safetensors import DTYPE_BITS, Tensor

_BITS = re.compile(r"W(?:FP)?([1-9]\d?)A|NF([1-9])")
# v0 of ModelSlim packs these along rows or columns; W4A4_DYNAMIC has one value a byte.
_ALWAYS_PACKED, _NEVER_PACKED = ("W4A16", "NF4"), ("W4A4_DYNAMIC", "W4A4_FLATQUANT_DYNAMIC")
# Schemes of one scale a channel or none, which large models have most of.
_ONE_SCALE = frozenset({"FLOAT", "W8A8", "W8A8_DYNAMIC", "W8A8_MIX"})


@lru_cache(maxsize=1024)
def weight_bits(scheme: str) -> int | None:
    """Bits of a weight in a scheme: 4 for `W4A8_DYNAMIC`; None for FLOAT and UNKNOWN."""
    found = _BITS.match(scheme)
    return int(found.group(1) or found.group(2)) if found else None


def packed_values(layer: Layer, tensors: Mapping[str, Tensor]) -> int:
    """The weights that a layer's tensor holds.

    Exact where the values of a row fill whole elements, as they do in all real models; rows that
    are padded count with their padding.
    """
    tensor, bits = layer.tensor, weight_bits(layer.scheme)
    if tensor.name.endswith(".compressed"):  # only what is not zero is stored, a bit tells where
        mask = tensors.get(f"{layer.module}.bitmask")
        return 8 * mask.elements if mask else tensor.elements
    stored = DTYPE_BITS[tensor.dtype]
    if bits is None or bits >= stored or tensor.dtype.startswith("F"):
        return tensor.elements
    if tensor.dtype == "I8" and layer.scheme not in _ALWAYS_PACKED:
        # ModelSlim packs two values along the rows, but its older versions do not pack at all:
        # the scale has a row for each output channel either way.
        scale = tensors.get(f"{layer.module}.weight_scale")
        packed = scale is not None and scale.shape[:1] != tensor.shape[:1]
        return tensor.elements * (2 if packed and layer.scheme not in _NEVER_PACKED else 1)
    values = tensor.elements * (stored // bits)
    # Of four values two are zero and not stored.
    return 2 * values if f"{layer.module}.meta" in tensors else values


def measured_group_size(layers: Iterable[Layer], tensors: Mapping[str, Tensor]) -> int | None:
    """Values along the input dimension that share a scale, from the shapes of the scales.

    Returns:
        None where no layer has groups, or layers have different ones.
    """
    sizes = set()
    for layer in layers:
        if layer.scheme in _ONE_SCALE:
            continue
        for part in ("weight_scale_second", "weight_scale"):
            scale = tensors.get(f"{layer.module}.{part}")
            if scale is not None and len(scale.shape) == 2 and scale.shape[1] > 1:
                size, rest = divmod(packed_values(layer, tensors), scale.elements)
                sizes.add(0 if rest else size)
                break
    return sizes.pop() or None if len(sizes) == 1 else None
