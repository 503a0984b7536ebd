"""compressed-tensors' weights back to values; layouts of its version 0.19.0 (`compressors/`)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from quantizers.quality.coding.coded import Coded, Floats, Unreadable
from quantizers.quality.coding.expanders import pairs_along_columns, plain, words
from quantizers.quality.coding.numbers import fp8_table, pair_table
from quantizers.quality.tensors import TensorData
from registry.checkpoint.quantization.layers import Layer
from registry.checkpoint.quantization.packing import weight_bits

_WHOLE_WORDS = (2, 4, 8)


def compressed_weight(layer: Layer, data: TensorData, block: tuple[int, int]) -> Coded | Unreadable:
    """How to get the values of a layer of a compressed-tensors checkpoint.

    Args:
        layer: a quantized one.
        data: reads its tensors.
        block: rows and columns that share a scale, where scales are for blocks.
    """
    tensor, module = layer.tensor, layer.module
    leaf = tensor.name.rpartition(".")[2]
    sparse = any(f"{module}.{part}" in data.tensors for part in ("meta", "bitmask"))
    if sparse or leaf == "compressed":
        return Unreadable("weights in a sparse format are not expanded")
    if len(tensor.shape) != 2 or leaf not in ("weight", "weight_packed"):
        return Unreadable("quantized experts in one tensor are not taken apart")
    if f"{module}.weight_scale" not in data.tensors:
        return Unreadable(f"there is no {module}.weight_scale")
    if leaf == "weight_packed" and tensor.dtype == "I32":
        return _words(layer, data)
    scale = _scale(module, data)
    rows, columns = tensor.shape
    if leaf == "weight_packed":
        global_scale = f"{module}.weight_global_scale"
        if global_scale in data.tensors:  # NVFP4
            scale = scale / data.floats(global_scale).reshape(-1)[0]
        return Coded(tensor, (rows, 2 * columns), pairs_along_columns("fp4"), scale)
    return placed_scales(
        Coded(
            tensor,
            (rows, columns),
            plain(tensor.dtype),
            scale,
            _zero_point(module, data),
            rounding=tensor.dtype == "I8",
        ),
        block,
    )


def placed_scales(coded: Coded, block: tuple[int, int]) -> Coded | Unreadable:
    """Fit scales to rows and columns: for all, a row, a group of a row, or a block."""
    assert coded.scale is not None
    (rows, columns), (high, wide) = coded.shape, coded.scale.shape
    if high in (1, rows) and columns % wide == 0:
        return coded
    if (high, wide) == (-(-rows // block[0]), -(-columns // block[1])):
        return replace(coded, row_block=block[0], column_block=block[1])
    return Unreadable(f"scales {[high, wide]} fit neither rows nor blocks of {list(block)}")


def _words(layer: Layer, data: TensorData) -> Coded | Unreadable:
    bits = weight_bits(layer.scheme)
    if bits not in _WHOLE_WORDS:
        return Unreadable(f"values of {bits} bits, packed across words, are not unpacked")
    module, tensor = layer.module, layer.tensor
    rows, columns = tensor.shape[0], tensor.shape[1] * 32 // bits
    shape = f"{module}.weight_shape"
    if shape in data.tensors:
        _, columns = (int(number) for number in data.whole(shape))
    scale, offset, order = _scale(module, data), None, None
    zero = f"{module}.weight_zero_point"
    if zero in data.tensors:
        offset = _packed_zero_point(data.whole(zero), bits, rows)
    groups = f"{module}.weight_g_idx"
    if groups in data.tensors and scale.shape[1] > 1:
        order = data.whole(groups).astype(np.int64)
    return Coded(
        tensor, (rows, columns), words(bits, columns), scale, offset, order=order, rounding=True
    )


def _packed_zero_point(stored: Any, bits: int, rows: int) -> Floats:
    """Offsets are packed along the rows, as weights are along the columns."""
    across = np.ascontiguousarray(stored.T).view(np.uint8)  # [groups, bytes]
    if bits == 4:
        values = pair_table("offset")[across].reshape(len(across), -1)
    else:
        values = across.astype(np.float32) - 128
    result: Floats = np.ascontiguousarray(values[:, :rows].T)
    return result


def _zero_point(module: str, data: TensorData) -> Floats | None:
    name = f"{module}.weight_zero_point"
    if name not in data.tensors:
        return None
    values = data.floats(name)
    return (values.reshape(-1, 1) if values.ndim < 2 else values) if values.any() else None


def _scale(module: str, data: TensorData) -> Floats:
    """The scales of a layer, `[rows or 1, groups or 1]`; bytes are powers of two, as in MX."""
    name = f"{module}.weight_scale"
    if data.tensors[name].dtype == "U8":
        return fp8_table("F8_E8M0")[data.whole(name)]
    values = data.floats(name)
    return values.reshape(-1, 1) if values.ndim < 2 else values
