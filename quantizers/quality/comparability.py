"""Where the weights of a quantized model are not those of its base, rounded.

Smoothing (SmoothQuant, AWQ, ModelSlim's iter_smooth and flex_smooth) moves factors between a layer
and what stands before it, rotation (QuaRot, SpinQuant, FlatQuant) turns whole spaces. The model
computes the same, and a comparison of weights says nothing of its quality.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from quantizers.quality.tensors import TensorData
from registry.checkpoint.components import component_of, layer_of
from registry.checkpoint.facts import Facts
from registry.checkpoint.quantization.layers import FLOAT

# What recipes of both tools call it.
_TRANSFORMS = re.compile(
    r"(SmoothQuantModifier|AWQModifier|SpinQuantModifier|QuIPModifier|iter_smooth|"
    r"flex_smooth_quant|flex_awq_ssz|quarot|flatquant|adapt_rotation|anti_method)",
)
_SMALL = 2**20  # bytes; norms have some kilobytes


def incomparable_layers(
    quantized: Facts,
    base: Facts,
    provenance: Mapping[str, Any],
    recipes: Mapping[str, str],
) -> dict[str, str]:
    """The quantized layers that cannot be compared, with the reason.

    Args:
        quantized: facts of a checkpoint on this machine.
        base: facts of the model that it was made from.
        provenance: of the quantized one's manifest.
        recipes: texts of recipe files that lie beside the weights, by name.
    """
    layers = [layer for layer in quantized.quantization.layers if layer.scheme != FLOAT]
    if quantized.quantization.rotated:
        return dict.fromkeys((layer.module for layer in layers), "the model is rotated")
    reasons = {}
    moved = _moved_norms(quantized, base)
    named = _named_transform(provenance, recipes)
    for layer in layers:
        if "FLATQUANT" in layer.scheme:
            reasons[layer.module] = "its weights stand behind FlatQuant's transforms"
        elif named and layer.number is not None:
            reasons[layer.module] = f"the recipe moves factors between layers ({named})"
        elif layer.number in moved:
            norm = moved[layer.number]
            reasons[layer.module] = f"smoothed: {norm} differs from the base's"
    return reasons


def _named_transform(provenance: Mapping[str, Any], recipes: Mapping[str, str]) -> str:
    recipe = provenance.get("recipe")
    text = recipe.get("text") if isinstance(recipe, Mapping) else None
    for source in (text, *recipes.values()):
        match = _TRANSFORMS.search(source) if isinstance(source, str) else None
        if match:
            return match.group(1)
    return ""


def _moved_norms(quantized: Facts, base: Facts) -> dict[int | None, str]:
    """Decoder layers of which a norm differs from the base's, with the norm's name."""
    ours, theirs = TensorData(quantized.checkpoint), TensorData(base.checkpoint)
    try:
        moved: dict[int | None, str] = {}
        for name, tensor in quantized.checkpoint.tensors.items():
            number = layer_of(name)
            if not name.endswith("norm.weight") or component_of(name) != "norm":
                continue
            other = base.checkpoint.tensors.get(name)
            if number is None or other is None or tensor.shape != other.shape:
                continue
            if tensor.size > _SMALL:
                continue
            a, b = ours.floats(name), theirs.floats(name)
            # A norm may be stored in another format, but not be another norm.
            if not np.allclose(a, b, rtol=2**-7, atol=1e-6):
                moved.setdefault(number, name)
        return moved
    finally:
        ours.close()
        theirs.close()
