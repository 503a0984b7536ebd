"""How stored rows become codes: one small function a way of packing."""

from __future__ import annotations

import numpy as np

from quantizers.quality.coding.coded import Expand, Floats, Stored
from quantizers.quality.coding.numbers import into_float32, pair_table, quad_table


def plain(dtype: str) -> Expand:
    """One value an element, of any format."""

    def expand(stored: Stored, out: Floats) -> None:
        into_float32(stored, dtype, out)

    return expand


def pairs_along_columns(kind: str) -> Expand:
    """Two values a byte, neighbours in a row, the first in the lower half."""

    def expand(stored: Stored, out: Floats) -> None:
        rows, columns = stored.shape
        pairs = out.reshape(rows, columns, 2)
        np.take(pair_table(kind), stored.view(np.uint8), axis=0, out=pairs, mode="clip")

    return expand


def pairs_along_rows(kind: str) -> Expand:
    """Two values a byte, neighbours in a column: stored row i holds rows 2i and 2i + 1."""

    def expand(stored: Stored, out: Floats) -> None:
        rows, columns = stored.shape
        table, codes = pair_table(kind), stored.view(np.uint8)
        both = out.reshape(rows, 2, columns)
        for half in (0, 1):
            both[:, half] = table[:, half][codes]

    return expand


def words(bits: int, columns: int) -> Expand:
    """compressed-tensors' `pack_to_int32`: lowest bits first, half the range added.

    Args:
        bits: of a value: 2, 4 or 8, which fill words without a rest.
        columns: of the values; the last word of a row may hold more.
    """

    def expand(stored: Stored, out: Floats) -> None:
        rows = len(stored)
        codes = stored.astype("<i4", copy=False).view(np.uint8)  # [rows, bytes]
        if bits == 8:
            np.copyto(out, codes[:, :columns])
            np.subtract(out, 128, out=out)
            return
        table = pair_table("offset") if bits == 4 else quad_table()
        values = table[codes].reshape(rows, -1)
        np.copyto(out, values[:, :columns])

    return expand
