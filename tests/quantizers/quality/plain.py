"""Reading and dequantizing whole checkpoints the plain way, in float64: what the product's own,
streaming way has to agree with. Nothing here is shared with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

Arrays = dict[str, tuple[str, np.ndarray]]
_DTYPES = {
    "I8": "<i1", "U8": "<u1", "I32": "<i4", "I64": "<i8", "F16": "<f2", "F32": "<f4",
    "BF16": "<u2", "F8_E4M3": "<u1",
}  # fmt: skip
FP4 = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6]


def read_all(folder: Path) -> Arrays:
    """Every tensor of a folder: safetensors' dtype and the elements as they are stored."""
    found: Arrays = {}
    for shard in sorted(folder.glob("*.safetensors")):
        content = shard.read_bytes()
        length = int.from_bytes(content[:8], "little")
        for name, entry in json.loads(content[8 : 8 + length]).items():
            if name != "__metadata__":
                begin, end = (8 + length + offset for offset in entry["data_offsets"])
                array = np.frombuffer(content[begin:end], _DTYPES[entry["dtype"]])
                found[name] = (entry["dtype"], array.reshape(entry["shape"]))
    return found


def floats(dtype: str, array: np.ndarray) -> np.ndarray:
    if dtype == "BF16":
        return np.frombuffer(
            b"".join(b"\0\0" + int(x).to_bytes(2, "little") for x in array.reshape(-1)), "<f4"
        ).reshape(array.shape).astype(np.float64)  # fmt: skip
    if dtype == "F8_E4M3":
        return np.vectorize(e4m3, otypes=[np.float64])(array)
    return array.astype(np.float64)


def e4m3(code: int) -> float:
    sign, exponent, mantissa = code >> 7, code >> 3 & 15, code & 7
    if exponent == 15 and mantissa == 7:
        return float("nan")
    value = (1 + mantissa / 8) * 2.0 ** (exponent - 7) if exponent else mantissa / 8 * 2.0**-6
    return -value if sign else value


def dequantized(tensors: Mapping[str, tuple[str, np.ndarray]], module: str) -> np.ndarray:
    """The weights of a quantized linear layer, [rows, columns]."""

    def part(name: str) -> np.ndarray:
        return floats(*tensors[f"{module}.{name}"])

    has = {name for name in _PARTS if f"{module}.{name}" in tensors}
    packed = "weight_packed" in has
    dtype, stored = tensors[f"{module}.weight_packed" if packed else f"{module}.weight"]
    zero = 0.0
    if packed and dtype == "I32":
        rows, columns = (int(n) for n in tensors[f"{module}.weight_shape"][1])
        codes = np.stack([(stored.view("<u4") >> shift & 15) for shift in range(0, 32, 4)], 2)
        codes = codes.reshape(rows, -1)[:, :columns].astype(np.float64) - 8
        if "weight_zero_point" in has:
            words = tensors[f"{module}.weight_zero_point"][1].view("<u4")
            zero = np.stack([(words >> shift & 15) for shift in range(0, 32, 4)], 1)
            zero = zero.reshape(rows, -1).astype(np.float64) - 8
    elif dtype == "U8":
        table = np.array(FP4, np.float64)
        codes = np.empty((len(stored), 2 * stored.shape[1]))
        codes[:, 0::2], codes[:, 1::2] = table[stored % 16], table[stored // 16]
    else:
        codes = floats(dtype, stored)
    if "weight_scale" in has:
        scale_type = tensors[f"{module}.weight_scale"][0]
        scale = part("weight_scale")
        scale = scale[:, None] if scale.ndim == 1 else scale
        if scale_type == "U8":
            scale = 2.0 ** (scale - 127)
        if "weight_global_scale" in has:
            scale = scale / part("weight_global_scale")
    else:
        product_type, product = tensors[f"{module}.deq_scale"]
        product = product.astype("<i4").view("<f4") if product_type == "I64" else product
        scale = product.astype(np.float64)[:, None] / part("input_scale")
    if len(scale) == 2 * len(codes):  # two rows in one
        low, high = stored.astype(np.int16) & 15, stored.astype(np.int16) >> 4
        low = np.where(low > 7, low - 16, low)
        codes = np.stack((low, high), 1).reshape(-1, stored.shape[1]).astype(np.float64)
    if "weight_offset" in has:
        zero = part("weight_offset")
    rows, columns = codes.shape
    if len(scale) not in (1, rows):  # blocks of 128 by 128
        scale = np.kron(scale, np.ones((128, 128)))[:rows, :columns]
    else:
        scale = np.kron(scale, np.ones((1, columns // scale.shape[1])))
        zero = np.kron(zero, np.ones((1, columns // zero.shape[1]))) if np.ndim(zero) else zero
    return (codes - zero) * scale


_PARTS = (
    "weight", "weight_packed", "weight_scale", "weight_offset", "weight_zero_point",
    "weight_global_scale", "deq_scale", "input_scale",
)  # fmt: skip
