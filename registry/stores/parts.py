"""How a content is divided while it is received: the unit of resuming and of parallel ranges.

A large content has a small part first, so that the others do not begin at multiples of 64 MiB.
Objects in S3 lie in parts of their own, often of just that size, and OpenStack Swift checks what is
read of one from its first byte on against two MD5 sums, which takes as long as delivering it
(2.38.3: `DiskFileReader` of its object server, `SegmentedIterable` of its proxy). Here each byte is
checked against a sha256 anyway.
"""

from __future__ import annotations

PART = 64 * 2**20  # bytes
_FIRST = 2**16  # bytes


def count(size: int) -> int:
    """How many parts a content of `size` bytes has; one at least."""
    return 1 if size <= PART else 1 - (-(size - _FIRST) // PART)


def span(number: int, size: int) -> tuple[int, int]:
    """Offset and length of a part, in bytes; the last one ends with the content."""
    if size <= PART:
        return 0, size
    begin, end = (_begin(one) for one in (number, number + 1))
    return begin, min(end, size) - begin


def part_at(offset: int, size: int) -> int:
    """The number of the part that a byte lies in."""
    return 0 if size <= PART or offset < _FIRST else 1 + (offset - _FIRST) // PART


def _begin(number: int) -> int:
    return _FIRST + (number - 1) * PART if number else 0
