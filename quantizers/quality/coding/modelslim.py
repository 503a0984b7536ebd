"""ModelSlim's weights back to values; layouts as msmodelslim 26.1.0 writes them.

(`core/quant_service/modelslim_v1/save/ascendv1.py`, `save/utils/pack.py`, and for the older API
`pytorch/llm_ptq/llm_ptq_tools/save/complex_quantifier.py`.)
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quantizers.quality.coding.coded import Coded, Floats, Unreadable
from quantizers.quality.coding.expanders import pairs_along_columns, pairs_along_rows, plain
from quantizers.quality.coding.numbers import fp8_table
from quantizers.quality.tensors import TensorData
from registry.checkpoint.quantization.layers import Layer

_INTEGERS = ("I8", "U8")


def modelslim_weight(layer: Layer, data: TensorData) -> Coded | Unreadable:
    """How to get the values of a layer whose type the description names."""
    tensor, scheme = layer.tensor, layer.scheme
    if len(tensor.shape) != 2:
        return Unreadable(f"{scheme} stores a vector without what it takes to read it")
    if tensor.dtype not in _INTEGERS and not tensor.dtype.startswith("F8"):
        return Coded(tensor, (tensor.shape[0], tensor.shape[1]), plain(tensor.dtype))
    if f"{layer.module}.weight_scale" not in data.tensors:
        scale = _static_scale(layer.module, data)
        if scale is None:
            sliced = f"{layer.module}.tp_list.0.weight" in data.tensors
            kept = "only of slices for tensor parallelism" if sliced else "not at all"
            return Unreadable(f"the scales of the weights are stored {kept}")
    elif "MX" in scheme:
        return _mx(layer, data)
    else:
        scale = _columns(data.floats(f"{layer.module}.weight_scale"))
    second = f"{layer.module}.weight_scale_second"
    if second in data.tensors:
        scale = scale * data.floats(second)
    return _integers(layer, scale, data)


def _integers(layer: Layer, scale: Floats, data: TensorData) -> Coded | Unreadable:
    tensor, module = layer.tensor, layer.module
    rows, columns = tensor.shape
    offset = _offset(module, data)
    if tensor.dtype.startswith("F8"):
        return Coded(tensor, (rows, columns), plain(tensor.dtype), scale, offset)
    # NF4, W8A8SC and sparse types aside, 4-bit values may be stored one a byte, or two along
    # either dimension; the scales have a row for each output either way.
    if len(scale) == 2 * rows:
        expand, packed = pairs_along_rows("signed"), 2
        return Coded(
            tensor, (2 * rows, columns), expand, scale, offset, packed_rows=packed, rounding=True
        )
    if layer.scheme == "W4A16" and scale.shape[1] == 1:
        expand = pairs_along_columns("signed")
        return Coded(tensor, (rows, 2 * columns), expand, scale, offset, rounding=True)
    if len(scale) not in (1, rows):
        return Unreadable(f"{len(scale)} rows of scales do not belong to {rows} rows of weights")
    dense = not layer.scheme.endswith("S")  # sparse types drop values, not only digits
    return Coded(tensor, (rows, columns), plain(tensor.dtype), scale, offset, rounding=dense)


def _mx(layer: Layer, data: TensorData) -> Coded:
    """Floats in groups of 32 that share a power of two, stored with 127 added."""
    tensor, module = layer.tensor, layer.module
    rows, columns = tensor.shape
    scale = fp8_table("F8_E8M0")[data.whole(f"{module}.weight_scale").view(np.uint8)]
    dual = f"{module}.weight_dual_scale"
    if dual in data.tensors:
        outer = data.floats(dual).reshape(rows, -1)
        scale = scale * np.repeat(outer, scale.shape[1] // outer.shape[1], axis=1)
    if tensor.dtype == "U8":
        coded = Coded(tensor, (rows, 2 * columns), pairs_along_columns("fp4"), scale)
    else:
        coded = Coded(tensor, (rows, columns), plain(tensor.dtype), scale)
    if f"{module}.svd_lowrank_l1" in data.tensors:
        left = data.floats(f"{module}.svd_lowrank_l2")
        right = data.floats(f"{module}.svd_lowrank_l1")
        coded = replace(coded, low_rank=(left, right))
    return coded


def _static_scale(module: str, data: TensorData) -> Floats | None:
    """The scale of weights from that of the product: deq_scale = input_scale · weight_scale."""
    product, inputs = f"{module}.deq_scale", f"{module}.input_scale"
    if product not in data.tensors or inputs not in data.tensors:
        return None
    stored = data.whole(product)
    if data.tensors[product].dtype == "I64":  # the bits of a float32, for models in float16
        deq_scale = stored.astype(np.int32).view(np.float32)
    else:
        deq_scale = data.floats(product)
    scale: Floats = deq_scale.reshape(-1, 1) / data.floats(inputs).reshape(-1)[0]
    return scale


def _offset(module: str, data: TensorData) -> Floats | None:
    """Offsets of asymmetric weights; None where all are zero."""
    name = f"{module}.weight_offset"
    if f"{name}_second" in data.tensors:
        name = f"{name}_second"
    if name not in data.tensors:
        return None
    offset = _columns(data.floats(name))
    return offset if offset.any() else None


def _columns(values: Floats) -> Floats:
    return values.reshape(-1, 1) if values.ndim < 2 else values
