"""Headers of safetensors files, strictly validated.

The format (safetensors documentation, "Format"): 8 bytes little-endian length N, N bytes of JSON
`{name: {dtype, shape, data_offsets: [begin, end]}, "__metadata__": {…}}`, then the data, without
holes. A file that breaks any of this is refused, also a pickle that only bears the name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from registry.errors import IntegrityError

# Bits per element, from the safetensors crate's `Dtype`.
DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip
MAX_HEADER = 100_000_000  # bytes; the limit of the safetensors crate

ReadRange = Callable[[int, int], bytes]


@dataclass(frozen=True)
class Tensor:
    """One tensor of a shard.

    Attributes:
        name: as in the checkpoint, `model.layers.0.self_attn.q_proj.weight`.
        dtype: safetensors' name of the element type, `BF16`.
        shape: dimensions, outermost first; empty for a scalar.
        size: in bytes.
        shard: the file that holds it.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    size: int
    shard: str

    @property
    def elements(self) -> int:
        """The number of stored elements."""
        return prod(self.shape)


def read_header(shard: str, size: int, read: ReadRange) -> tuple[Tensor, ...]:
    """Read and check the header of one shard.

    Args:
        shard: the file's name, for messages and for `Tensor.shard`.
        size: of the file, in bytes.
        read: returns `length` bytes at `offset` of the file.

    Returns:
        The tensors in the order of their data.

    Raises:
        IntegrityError: the file is not a whole, well-formed safetensors file.
    """
    if size < 8:
        raise _broken(shard, f"it has only {size} bytes", "empty or truncated")
    head = read(0, 8)
    length = int.from_bytes(head, "little")
    if length > MAX_HEADER or 8 + length > size:
        hint = "a pickle under a safetensors name" if head[:1] == b"\x80" else "truncated"
        if head == b"version ":
            hint = "a Git-LFS pointer in place of the file"
        if head[:2] == b"PK":
            hint = "a zip or torch archive under a safetensors name"
        raise _broken(shard, f"its header would be {length} bytes long, the file has {size}", hint)
    raw = read(8, length)
    try:
        header = json.loads(raw, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise _broken(shard, f"its header is not JSON ({error})", "damaged") from error
    if not isinstance(header, dict):
        raise _broken(shard, "its header is not a JSON object", "damaged")
    header.pop("__metadata__", None)
    entries = [_tensor(shard, name, value) for name, value in header.items()]
    entries.sort(key=lambda item: item[1])
    end = 0
    for tensor, begin, stop in entries:
        if begin != end or stop - begin != tensor.size:
            raise _broken(shard, f"tensor {tensor.name!r} does not lie where it should", "damaged")
        end = stop
    if 8 + length + end != size:
        raise _broken(
            shard, f"its tensors need {8 + length + end} bytes, the file has {size}", "truncated"
        )
    return tuple(tensor for tensor, _, _ in entries)


def _tensor(shard: str, name: str, value: Any) -> tuple[Tensor, int, int]:
    try:
        dtype, shape, (begin, end) = value["dtype"], value["shape"], value["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        raise _broken(shard, f"the entry of tensor {name!r} is malformed", "damaged") from error
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise _broken(shard, f"tensor {name!r} has the unknown dtype {dtype!r}", "damaged")
    numbers = [*shape, begin, end] if isinstance(shape, list) else [None]
    if not all(type(n) is int and 0 <= n < 2**63 for n in numbers):
        raise _broken(shard, f"tensor {name!r} has an impossible shape or offset", "damaged")
    bits = prod(shape) * DTYPE_BITS[dtype]
    if bits % 8:
        raise _broken(shard, f"tensor {name!r} does not end on a whole byte", "damaged")
    return Tensor(name, dtype, tuple(shape), bits // 8, shard), begin, end


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice")
    return result


def _broken(shard: str, found: str, verdict: str) -> IntegrityError:
    return IntegrityError(
        f"{shard} is not a whole safetensors file: {found} ({verdict})",
        remedy="Copy or download this file again from its source.",
    )
