"""Number formats that numpy does not have, as tables of all their values.

FP8 and MX: OCP "8-bit Floating Point Specification" 1.0 and "Microscaling Formats" 1.0; `FNUZ`: the
variant without infinities and negative zero, as in ONNX. A byte has 256 values, so that a table is
exact, subnormal numbers and NaN included.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
FP4 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # E2M1, without the sign
# exponent bits, mantissa bits, bias, and whether it is the variant FNUZ
_FP8 = {
    "F8_E4M3": (4, 3, 7, False),
    "F8_E5M2": (5, 2, 15, False),
    "F8_E4M3FNUZ": (4, 3, 8, True),
    "F8_E5M2FNUZ": (5, 2, 16, True),
}


@cache
def fp8_table(dtype: str) -> Floats:
    """The values of all 256 codes of a format of 8 bits, float32 [256]."""
    codes = np.arange(256)
    if dtype == "F8_E8M0":  # a power of two; 255 is NaN
        powers = np.where(codes < 255, np.ldexp(1.0, codes - 127), np.nan)
        return np.asarray(powers, np.float32)
    exponent_bits, mantissa_bits, bias, fnuz = _FP8[dtype]
    sign = np.where(codes & 0x80, -1.0, 1.0)
    exponent = (codes & 0x7F) >> mantissa_bits
    mantissa = (codes & (2**mantissa_bits - 1)) / 2**mantissa_bits
    normal = np.ldexp(1 + mantissa, exponent - bias)
    table = (sign * np.where(exponent, normal, np.ldexp(mantissa, 1 - bias))).astype(np.float32)
    if fnuz:
        table[0x80] = np.nan
    elif dtype == "F8_E4M3":
        table[[0x7F, 0xFF]] = np.nan
    else:
        top = 2**exponent_bits - 1
        special = np.where(mantissa == 0, sign * np.inf, np.nan)
        table = np.where(exponent == top, special, table)
    return np.asarray(table, np.float32)


@cache
def pair_table(kind: str) -> Floats:
    """Both values of each byte that holds two of 4 bits, the lower one first, float32 [256, 2].

    Args:
        kind: `signed`: two's complement; `offset`: 8 is zero; `fp4`: E2M1.
    """
    nibbles = np.arange(16)
    if kind == "signed":
        values = np.where(nibbles < 8, nibbles, nibbles - 16).astype(np.float32)
    elif kind == "offset":
        values = (nibbles - 8).astype(np.float32)
    else:
        values = np.array([*FP4, *(-x for x in FP4)], np.float32)
    codes = np.arange(256)
    return np.stack((values[codes & 15], values[codes >> 4]), axis=1)


@cache
def quad_table() -> Floats:
    """The four values of each byte that holds them in 2 bits, 2 being zero, float32 [256, 4]."""
    codes = np.arange(256)[:, None] >> np.array([0, 2, 4, 6])
    values: Floats = ((codes & 3) - 2).astype(np.float32)
    return values


def to_float32(stored: npt.NDArray[Any], dtype: str) -> Floats:
    """Values of a float format, or integers as such, as a new array of float32.

    Args:
        stored: as `tensors.DTYPES` holds it.
        dtype: safetensors' name of the format.
    """
    if dtype == "BF16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    if dtype.startswith("F8"):
        table: Floats = fp8_table(dtype)[stored]
        return table
    return stored.astype(np.float32)


def into_float32(stored: npt.NDArray[Any], dtype: str, out: Floats) -> None:
    """The same into an array that is there, `[rows, columns]`, in as few passes as can be."""
    if dtype == "BF16":
        bits = out.view(np.uint32)
        np.copyto(bits, stored)
        np.left_shift(bits, 16, out=bits)
    elif dtype.startswith("F8"):
        np.take(fp8_table(dtype), stored, out=out, mode="clip")
    else:
        np.copyto(out, stored, casting="unsafe")
