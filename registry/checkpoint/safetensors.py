"""Headers of safetensors files, strictly validated.

The format (safetensors documentation, "Format"): 8 bytes little-endian length N, N bytes of JSON
`{name: {dtype, shape, data_offsets: [begin, end]}, "__metadata__": {…}}`, then the data, without
holes. A file that breaks any of this is refused, also a pickle that only bears the name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import msgspec

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
_USUAL_METADATA = (b'{"__metadata__":{"format":"pt"},', b'{"__metadata__":{"format":"np"},')
_INTEGER = frozenset({int})
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
    if length > MAX_HEADER and PREFIX + length <= size and not disguise_of(head):
        raise BrokenShard(
            shard,
            f"its header is {length} bytes long, more than the {MAX_HEADER} that are allowed",
            "damaged",
        )
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
    data = size - PREFIX - length
    tensors = _sound(shard, data, raw)
    if tensors is None:
        tensors = _tensors(shard, data, _parse(shard, raw))
    return Header(tensors, PREFIX + length)


class _Entry(msgspec.Struct, frozen=True, gc=False):
    """An entry of a header, types checked while it is parsed."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


_ENTRIES = msgspec.json.Decoder(dict[str, _Entry])


def _sound(shard: str, data: int, raw: bytes) -> tuple[Tensor, ...] | None:
    """The tensors of a header in which all is right, in half the time; None for any other.

    What may be wrong, and metadata of an unusual kind, are left to `_parse`.
    """
    raw = _without_metadata(raw)
    try:
        header = _ENTRIES.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not _plain(raw, len(header)) or "__metadata__" in header:
        return None
    tensors, reached = [], 0
    for name, entry in sorted(header.items(), key=_by_offsets):
        dtype, shape, (begin, end) = entry.dtype, entry.shape, entry.data_offsets
        if begin != reached or _bits(dtype, shape) != 8 * (end - begin) or not _is_name(name):
            return None
        tensors.append(Tensor(name, dtype, shape, end - begin, shard))
        reached = end
    return tuple(tensors) if reached == data else None


def _by_offsets(item: tuple[str, _Entry]) -> tuple[int, int]:
    return item[1].data_offsets


def _without_metadata(raw: bytes) -> bytes:
    """A header without the metadata that PyTorch's savers write in front, `{"format": "pt"}`."""
    for metadata in _USUAL_METADATA:
        if raw.startswith(metadata):
            return b"{" + raw[len(metadata) :]
    return raw


def _parse(shard: str, raw: bytes) -> dict[str, Any]:
    # A sound header has two lists a tensor; one made of lists alone takes twenty times its size.
    tensors = raw.count(b'data_offsets"')
    if raw.count(b"[") + raw.count(b"{") > 8 * tensors + 1000:
        raise BrokenShard(shard, "its header is not JSON of tensors", "damaged")
    try:
        text = raw.decode("utf-8")
        header = json.loads(text, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise BrokenShard(shard, f"its header is not JSON: {error}", "damaged") from error
    if not isinstance(header, dict):
        raise BrokenShard(shard, "its header is not a JSON object", "damaged")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise BrokenShard(shard, "its __metadata__ is not a table of texts", "damaged")
    return header


def _plain(raw: bytes, entries: int) -> bool:
    """Whether no key can be there twice: a look at the bytes, as a hook costs twice the parsing.

    An entry has ten quotation marks: of its name, three keys and a dtype. A duplicate adds some,
    and without a backslash none can be hidden in a text.
    """
    return raw.count(b'"') == 10 * entries and b"\\" not in raw


def _tensors(shard: str, data: int, header: dict[str, Any]) -> tuple[Tensor, ...]:
    entries = []
    # Hundreds of thousands of entries: what is right is told in few steps, what is wrong elsewhere.
    for name, value in header.items():
        try:
            dtype, listed, (begin, end) = value["dtype"], value["shape"], value["data_offsets"]
            # True and 1.0 equal 1, so that types are looked at before values.
            sound = (
                type(begin) is int and type(end) is int and _INTEGER.issuperset(map(type, listed))
            )
            shape = tuple(listed)
            sound = sound and type(listed) is list and _is_name(name)
            if not sound or _bits(dtype, shape) != 8 * (end - begin):
                raise ValueError
        except (TypeError, KeyError, ValueError) as error:
            raise BrokenShard(shard, _wrong(name, value), "damaged") from error
        entries.append((begin, end, Tensor(name, dtype, shape, end - begin, shard)))
    # By offsets; a tensor without elements begins where its successor does.
    entries.sort()
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
    return tuple([tensor for _, _, tensor in entries])


def _wrong(name: str, value: Any) -> str:
    """What is wrong with an entry that was refused, in words."""
    what = f"tensor {name[:200]!r}"
    if not _is_name(name):
        return f"a tensor has the impossible name {name[:200]!r}"
    if not isinstance(value, dict) or not {"dtype", "shape", "data_offsets"} <= value.keys():
        return f"the entry of {what} is malformed"
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        return f"{what} has the unknown dtype {str(dtype)[:40]!r}"
    if not isinstance(shape, list) or not _INTEGER.issuperset(map(type, shape)):
        return f"{what} has an impossible shape"
    if _bits(dtype, tuple(shape)) is None:
        return f"{what} has an impossible shape"
    return f"{what} of {dtype} {shape} does not fill its bytes {str(offsets)[:80]}"


def _is_name(name: str) -> bool:
    return name.isprintable() and 0 < len(name) <= MAX_NAME


@lru_cache(maxsize=4096)
def _bits(dtype: str, shape: tuple[int, ...]) -> int | None:
    """Bits of a tensor; None for one that cannot be. Models have few different ones."""
    sound = dtype in DTYPE_BITS and len(shape) <= MAX_DIMENSIONS
    if not sound or any(not 0 <= number < 2**63 for number in shape):
        return None
    return prod(shape) * DTYPE_BITS[dtype]


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice")
    return result
