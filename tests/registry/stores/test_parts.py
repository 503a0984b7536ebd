"""Parts lie one behind the other, cover everything, and begin off the bounds of others' parts."""

from __future__ import annotations

import pytest

from registry.stores import parts
from registry.stores.parts import PART, count, part_at, span

SIZES = [0, 1, 2**16, 2**16 + 1, PART, PART + 2**16, PART + 2**16 + 1, 2 * PART, 5 * PART + 12345]


@pytest.mark.parametrize("size", SIZES)
def test_parts_cover_a_content(size: int) -> None:
    end = 0
    for number in range(count(size)):
        begin, length = span(number, size)
        assert begin == end
        assert length > 0 or size == 0
        assert part_at(begin, size) == number
        assert part_at(begin + max(0, length - 1), size) == number
        end = begin + length
    assert end == size


def test_only_the_first_begins_where_a_stored_part_may() -> None:
    begins = [span(number, 100 * PART)[0] for number in range(100)]
    for stored in (2**20 * size for size in (5, 8, 16, 64)):
        assert [begin for begin in begins if begin % stored == 0] == [0]


def test_small_parts_are_divided_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART", 2**20)
    assert [span(number, 2**21) for number in range(count(2**21))] == [
        (0, 2**16),
        (2**16, 2**20),
        (2**20 + 2**16, 2**20 - 2**16),
    ]
    assert span(0, 2**20) == (0, 2**20)
