"""Which way back a stored weight takes, by the method of its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from quantizers.quality.coding.awq_gptq import packed_weight
from quantizers.quality.coding.coded import Coded, Unreadable
from quantizers.quality.coding.compressed_tensors import compressed_weight, placed_scales
from quantizers.quality.coding.expanders import pairs_along_columns, plain
from quantizers.quality.coding.modelslim import modelslim_weight
from quantizers.quality.tensors import TensorData
from registry.checkpoint.facts import Facts
from registry.checkpoint.quantization import quantization_config
from registry.checkpoint.quantization.layers import Layer
from registry.checkpoint.safetensors import Tensor

_BLOCK = (128, 128)  # of DeepSeek's FP8 and of compressed-tensors' preset FP8_BLOCK
_FLOATS = ("BF16", "F16", "F32", "F64")


def coded_weight(layer: Layer, facts: Facts, data: TensorData) -> Coded | Unreadable:
    """How to get the values of a layer of a checkpoint.

    Args:
        layer: one of `facts.quantization.layers`.
        facts: of the checkpoint.
        data: reads its tensors.
    """
    if layer.tensor.dtype in _FLOATS:
        return float_weight(layer.tensor)
    method, config = facts.quantization.method, facts.checkpoint.config
    if method == "modelslim":
        return modelslim_weight(layer, data)
    if method == "compressed-tensors":
        return compressed_weight(layer, data, _block(quantization_config(config)))
    if method in ("awq", "gptq") and layer.tensor.name.endswith(".qweight"):
        return packed_weight(layer, method, quantization_config(config), data)
    return _other(layer, method, _block(quantization_config(config)), data)


def float_weight(tensor: Tensor) -> Coded | Unreadable:
    """A weight in floating point, of two dimensions or, fused experts, three."""
    if len(tensor.shape) not in (2, 3):
        return Unreadable(f"{tensor.name} has {len(tensor.shape)} dimensions")
    columns = tensor.shape[-1]
    return Coded(tensor, (tensor.elements // columns, columns), plain(tensor.dtype))


def _other(
    layer: Layer, method: str, block: tuple[int, int], data: TensorData
) -> Coded | Unreadable:
    """FP8 as DeepSeek, vLLM and ModelOpt store it, NVFP4 of ModelOpt, LLM.int8()."""
    tensor, module = layer.tensor, layer.module
    present = data.tensors
    if len(tensor.shape) != 2:
        return Unreadable(f"{method} weights of this layout are not expanded")
    rows, columns = tensor.shape
    if tensor.dtype.startswith("F8"):
        for part in ("weight_scale_inv", "weight_scale", "scale"):
            if f"{module}.{part}" in present:
                scale = data.floats(f"{module}.{part}")
                scale = scale.reshape(-1, 1) if scale.ndim < 2 else scale
                coded = Coded(tensor, (rows, columns), plain(tensor.dtype), scale)
                return placed_scales(coded, block)
        return Coded(tensor, (rows, columns), plain(tensor.dtype))
    if tensor.dtype == "I8" and f"{module}.SCB" in present:
        scale = data.floats(f"{module}.SCB").reshape(-1, 1) / np.float32(127)
        return Coded(tensor, (rows, columns), plain("I8"), scale, rounding=True)
    if tensor.dtype == "U8" and f"{module}.weight_scale_2" in present:
        scale = data.floats(f"{module}.weight_scale") * data.floats(f"{module}.weight_scale_2")
        return Coded(tensor, (rows, 2 * columns), pairs_along_columns("fp4"), scale)
    return Unreadable(f"{method} weights of this layout are not expanded")


def _block(config: Mapping[str, Any]) -> tuple[int, int]:
    """Rows and columns of the blocks that share a scale, as config.json tells."""
    groups = config.get("config_groups")
    groups = groups.values() if isinstance(groups, Mapping) else ()
    weights = [g.get("weights") for g in groups if isinstance(g, Mapping)]
    found = [w.get("block_structure") for w in weights if isinstance(w, Mapping)]
    for block in (config.get("weight_block_size"), *found):
        if isinstance(block, list) and len(block) == 2 and all(type(n) is int for n in block):
            return max(1, block[0]), max(1, block[1])
    return _BLOCK
