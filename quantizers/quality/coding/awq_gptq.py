"""AWQ's and GPTQ's weights back to values: packed in words of 32 bits, and inputs before outputs.

Layouts as AutoAWQ 0.2.9 (`modules/linear/gemm.py`, `utils/packing_utils.py`) and AutoGPTQ 0.7.1
(`nn_modules/qlinear/qlinear_cuda.py`) write them, and vLLM 0.20 reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from quantizers.quality.coding.coded import Coded, Floats, Stored, Unreadable
from quantizers.quality.coding.expanders import plain
from quantizers.quality.tensors import TensorData, Workspace
from registry.checkpoint.quantization.layers import Layer
from registry.checkpoint.quantization.packing import weight_bits

_WORD = 32  # bits
_WHOLE_WORDS = (2, 4, 8)
_AWQ_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)  # which of a word's values belongs to each of 8 outputs
_READ = 2**22  # bytes at once


def packed_weight(
    layer: Layer, method: str, config: Mapping[str, Any], data: TensorData
) -> Coded | Unreadable:
    """How to get the values of a layer of an AWQ or GPTQ checkpoint.

    Args:
        layer: a quantized one, with its weights in `qweight`.
        method: `awq`: words hold outputs, interleaved; `gptq`: words hold inputs.
        config: `quantization_config` of config.json.
        data: reads its tensors.
    """
    tensor, module, bits = layer.tensor, layer.module, weight_bits(layer.scheme)
    written = str(config.get("version" if method == "awq" else "checkpoint_format") or "").lower()
    if written not in ("", "gemm", "gptq", "gptq_v2"):
        return Unreadable(f"{method} weights in the layout {written} are not unpacked")
    if bits not in _WHOLE_WORDS or (method == "awq" and bits != 4):
        return Unreadable(f"{method} values of {bits} bits are not unpacked")
    if len(tensor.shape) != 2 or f"{module}.scales" not in data.tensors:
        return Unreadable(f"{method} weights without scales, or of more than one layer")
    words, width = tensor.shape
    each = _WORD // bits
    inputs, outputs = (words, width * each) if method == "awq" else (words * each, width)
    scale = np.ascontiguousarray(data.floats(f"{module}.scales").T)
    groups = scale.shape[-1]
    if scale.shape[0] != outputs:
        return Unreadable(f"{scale.shape[0]} columns of scales are not for {outputs} outputs")
    order = _order(module, data) if groups > 1 else None
    if order is None and inputs % groups:
        return Unreadable(f"{inputs} inputs are not in {groups} equal groups")
    offset: Floats = np.full((1, 1), 2 ** (bits - 1), np.float32)
    if f"{module}.qzeros" in data.tensors:
        zeros = _unpacked(data.whole(f"{module}.qzeros"), bits, method == "awq")
        if method == "gptq" and written != "gptq_v2":
            zeros = (zeros + 1) & (2**bits - 1)  # they are stored less 1
        offset = np.ascontiguousarray(zeros[:, :outputs].T, np.float32)
        if offset.shape != scale.shape:
            return Unreadable(f"offsets {[*offset.shape]} do not belong to scales {[*scale.shape]}")
    load = _awq(layer, data) if method == "awq" else _gptq(layer, bits, data)
    shape = (outputs, inputs)
    return Coded(tensor, shape, plain("U8"), scale, offset, order=order, load=load, rounding=True)


def _order(module: str, data: TensorData) -> Any:
    """The group of each input, where that is told: they need not follow one another."""
    name = f"{module}.g_idx"
    return data.whole(name).astype(np.int64) if name in data.tensors else None


def _gptq(layer: Layer, bits: int, data: TensorData) -> Callable[[], Stored]:
    def load() -> Stored:
        (words, outputs), each = layer.tensor.shape, _WORD // bits
        codes = np.empty((outputs, words * each), np.uint8)
        for start, stored in _words(layer, data):
            unpacked = _unpacked(np.ascontiguousarray(stored.T), bits, interleaved=False)
            codes[:, start * each : (start + len(stored)) * each] = unpacked
        return codes

    return load


def _awq(layer: Layer, data: TensorData) -> Callable[[], Stored]:
    def load() -> Stored:
        inputs, words = layer.tensor.shape
        codes = np.empty((words * 8, inputs), np.uint8)
        for start, stored in _words(layer, data):
            codes[:, start : start + len(stored)] = _unpacked(stored, 4, interleaved=True).T
        return codes

    return load


def _words(layer: Layer, data: TensorData) -> Any:
    """First row and content of each block of stored rows."""
    rows, workspace = layer.tensor.shape[0], Workspace()
    step = max(1, _READ * rows // max(1, layer.tensor.size))
    for start in range(0, rows, step):
        count = min(step, rows - start)
        yield start, data.rows(layer.tensor, start, count, workspace, "words")


def _unpacked(words: Stored, bits: int, interleaved: bool) -> Stored:
    """The values in words `[rows, words]`, lowest bits first, uint8 `[rows, words · values]`."""
    each, unsigned = _WORD // bits, words.view(np.uint32)
    values = np.empty((*words.shape, each), np.uint8)
    for place in range(each):
        taken = _AWQ_ORDER[place] if interleaved else place
        values[:, :, place] = (unsigned >> (bits * taken)) & (2**bits - 1)
    return values.reshape(len(words), -1)
