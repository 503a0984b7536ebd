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
from typing import Any, NamedTuple

from registry.checkpoint.disguise import disguise_of
from registry.errors import IntegrityError

# Bits per element, from the safetensors crate's `Dtype`.
DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip
MAX_HEADER = 100_000_000  # bytes; the limit of the safetensors crate
MAX_NAME = 1024  # characters; real names have below 200
MAX_DIMENSIONS = 32  # frameworks stop at 64 or below; a bound keeps products small
PREFIX = 8  # bytes that hold the header's length

_WORDS = {
    "pickle": "a pickle under a safetensors name",
    "archive": "an archive, such as torch's, under a safetensors name",
    "lfs-pointer": "a Git-LFS pointer in place of the file",
    "web-page": "a web page in place of the file",
}

ReadRange = Callable[[int, int], bytes]


class Tensor(NamedTuple):
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


@dataclass(frozen=True)
class Header:
    """What the header of one shard says.

    Attributes:
        tensors: in the order of their data.
        size: bytes before the data: the length field and the JSON.
    """

    tensors: tuple[Tensor, ...]
    size: int


class BrokenShard(IntegrityError):
    """A file is not a whole safetensors file.

    Attributes:
        verdict: what it is instead: `empty`, `truncated`, `damaged`, or a kind of
            `disguise.DISGUISES` such as `pickle` or `lfs-pointer`.
    """

    def __init__(self, shard: str, found: str, verdict: str) -> None:
        super().__init__(
            f"{shard} is not a whole safetensors file: {found} ({_WORDS.get(verdict, verdict)})",
            remedy="Copy or download this file again from its source.",
        )
        self.verdict = verdict


def read_header(shard: str, size: int, read: ReadRange, *, expect: int = PREFIX) -> Header:
    """Read and check the header of one shard, in one or two reads.

    Args:
        shard: the file's name, for messages and for `Tensor.shard`.
        size: of the file, in bytes.
        read: returns `length` bytes at `offset` of the file.
        expect: bytes to ask for first; if that is the whole header, one read is enough.

    Raises:
        BrokenShard: the file is not a whole, well-formed safetensors file.
    """
    if size < PREFIX:
        verdict = "truncated" if size else "empty"
        raise BrokenShard(shard, f"it has only {size} bytes", verdict)
    head = read(0, min(size, max(PREFIX, expect)))
    if len(head) < PREFIX:
        raise BrokenShard(shard, f"it ends after {len(head)} of {size} bytes", "truncated")
    length = int.from_bytes(head[:PREFIX], "little")
    if length > MAX_HEADER or PREFIX + length > size:
        disguise = disguise_of(head if len(head) > PREFIX else read(0, min(size, 64)))
        raise BrokenShard(
            shard,
            f"its header would be {length} bytes long, the file has {size}",
            disguise or "truncated",
        )
    raw = head[PREFIX : PREFIX + length]
    if len(raw) < length:
        raw += read(PREFIX + len(raw), length - len(raw))
    if len(raw) < length:
        raise BrokenShard(shard, f"its header ends after {len(raw)} of {length} bytes", "truncated")
    return Header(_tensors(shard, size - PREFIX - length, _parse(shard, raw)), PREFIX + length)


def _parse(shard: str, raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise BrokenShard(shard, f"its header is not JSON: {error}", "damaged") from error
    if not isinstance(header, dict):
        raise BrokenShard(shard, "its header is not a JSON object", "damaged")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise BrokenShard(shard, "its __metadata__ is not a table of texts", "damaged")
    return header


def _tensors(shard: str, data: int, header: dict[str, Any]) -> tuple[Tensor, ...]:
    entries = []
    for name, value in header.items():
        try:
            dtype, shape, (begin, end) = value["dtype"], value["shape"], value["data_offsets"]
        except (TypeError, KeyError, ValueError) as error:
            raise BrokenShard(
                shard, f"the entry of tensor {name[:200]!r} is malformed", "damaged"
            ) from error
        bits = DTYPE_BITS.get(dtype) if type(dtype) is str else None
        if bits is None:
            raise BrokenShard(
                shard, f"tensor {name[:200]!r} has the unknown dtype {dtype!r}", "damaged"
            )
        if type(shape) is not list or len(shape) > MAX_DIMENSIONS:
            raise BrokenShard(shard, f"tensor {name[:200]!r} has an impossible shape", "damaged")
        for number in shape:
            if type(number) is not int or not 0 <= number < 2**63:
                raise BrokenShard(
                    shard, f"tensor {name[:200]!r} has an impossible shape", "damaged"
                )
            bits *= number
        if type(begin) is not int or type(end) is not int or bits != 8 * (end - begin):
            raise BrokenShard(
                shard,
                f"tensor {name[:200]!r} of {dtype} {shape} does not fill its {begin}:{end} bytes",
                "damaged",
            )
        if not name.isprintable() or not 0 < len(name) <= MAX_NAME:
            raise BrokenShard(shard, f"a tensor has the impossible name {name[:200]!r}", "damaged")
        entries.append((begin, end, Tensor(name, dtype, tuple(shape), end - begin, shard)))
    # A tensor without elements begins where its successor does.
    entries.sort(key=lambda entry: entry[:2])
    reached = 0
    for begin, end, tensor in entries:
        if begin != reached:
            raise BrokenShard(
                shard,
                f"tensor {tensor.name[:200]!r} begins at byte {begin} of the data, "
                f"its predecessor ends at {reached}",
                "damaged",
            )
        reached = end
    if reached != data:
        verdict = "truncated" if reached > data else "damaged"
        raise BrokenShard(shard, f"its tensors need {reached} bytes, it has {data}", verdict)
    return tuple(tensor for _, _, tensor in entries)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice")
    return result
