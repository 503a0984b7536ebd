"""How a content is divided while it is received: the unit of resuming and of parallel ranges.

Parts do not begin at multiples of 64 MiB but a little behind. Objects in S3 lie in parts of their
own, often of just that size, and OpenStack Swift checks one that is read from its first byte
against two MD5 sums, which takes as long as delivering it (2.38.3: `DiskFileReader` of its object
server and `SegmentedIterable` of its proxy). Here each byte is checked against a sha256 anyway.
"""

from __future__ import annotations

PART = 64 * 2**20  # bytes
_BEHIND = 2**16  # bytes


def count(size: int) -> int:
    """How many parts a content of `size` bytes has; one at least."""
    return max(1, -(-(size - _BEHIND) // PART))


def span(number: int, size: int) -> tuple[int, int]:
    """Offset and length of a part, in bytes; the last one ends with the content."""
    begin = number * PART + _BEHIND if number else 0
    return begin, min((number + 1) * PART + _BEHIND, size) - begin


def part_at(offset: int) -> int:
    """The number of the part that a byte lies in."""
    return max(0, offset - _BEHIND) // PART
