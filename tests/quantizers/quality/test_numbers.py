"""The tables of number formats, against values of their specifications."""

from __future__ import annotations

import numpy as np
import pytest

from quantizers.quality.coding.numbers import fp8_table, pair_table, quad_table


@pytest.mark.parametrize(
    ("dtype", "largest", "normal", "subnormal"),
    [
        ("F8_E4M3", 448, 2.0**-6, 2.0**-9),
        ("F8_E5M2", 57344, 2.0**-14, 2.0**-16),
        ("F8_E4M3FNUZ", 240, 2.0**-7, 2.0**-10),
        ("F8_E5M2FNUZ", 57344, 2.0**-15, 2.0**-17),
    ],
)
def test_fp8(dtype: str, largest: float, normal: float, subnormal: float) -> None:
    table = fp8_table(dtype)
    finite = table[np.isfinite(table)]
    assert finite.max() == largest and finite.min() == -largest
    assert table[1] == subnormal
    mantissa_bits = 3 if "E4M3" in dtype else 2
    assert table[1 << mantissa_bits] == normal
    assert np.isnan(table).sum() == {"F8_E4M3": 2, "F8_E5M2": 6}.get(dtype, 1)
    assert (np.diff(table[:120]) > 0).all()


def test_powers_of_two() -> None:
    table = fp8_table("F8_E8M0")
    assert table[127] == 1 and table[0] == 2.0**-127 and table[254] == 2.0**127
    assert np.isnan(table[255])


def test_values_that_share_a_byte() -> None:
    assert pair_table("signed")[0xF7].tolist() == [7, -1]
    assert pair_table("offset")[0x0F].tolist() == [7, -8]
    assert pair_table("fp4")[0x9F].tolist() == [-6, -0.5]
    assert quad_table()[0b11_10_01_00].tolist() == [-2, -1, 0, 1]
