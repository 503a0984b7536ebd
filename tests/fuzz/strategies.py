"""What hypothesis draws: tensors, headers with one fault, and JSON of any kind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from typing import Any

from hypothesis import strategies as st

from registry.checkpoint.safetensors import DTYPE_BITS, MAX_DIMENSIONS, MAX_NAME
from tests.fuzz.mutation import VALUES

Tensors = dict[str, tuple[str, tuple[int, ...]]]
MAX_SIZE = 2**16  # bytes of data; more of them would only be more zeros

# Names: what is printable, among it everything that JSON escapes.
_CHARACTERS = st.characters(exclude_categories=("C", "Zl", "Zp", "Zs")) | st.sampled_from(
    ' "\\/.:{}'
)
NAMES = (
    st.text(_CHARACTERS, min_size=1, max_size=40).filter(str.isprintable)
    | st.sampled_from(("model.layers.0.mlp.up_proj.weight", "dtype", "shape", "data_offsets", ":"))
    | st.just("x" * MAX_NAME)
)


@st.composite
def shapes(draw: st.DrawFn, bits: int) -> tuple[int, ...]:
    """Any shape whose elements fill whole bytes, of few enough bytes."""
    sides = st.sampled_from((1, 1, 1, 2, 3, 8, 64))
    shape = draw(st.lists(sides, max_size=MAX_DIMENSIONS - 1))
    if draw(st.booleans()) and shape:  # no elements, however large the other sides are
        at = draw(st.integers(0, len(shape) - 1))
        shape = [draw(st.sampled_from((n, 2**63 - 1))) for n in shape]
        shape[at] = 0
    while prod(shape) * bits > 8 * MAX_SIZE:
        shape.pop()
    return (*shape, 4) if prod(shape) * bits % 8 else tuple(shape)


@st.composite
def tensors(draw: st.DrawFn, least: int = 0) -> Tensors:
    """Some tensors by name, in the order of their data."""
    names = draw(st.lists(NAMES, min_size=least, max_size=6, unique=True))
    found: Tensors = {}
    for name in names:
        dtype = draw(st.sampled_from(sorted(DTYPE_BITS)))
        found[name] = dtype, draw(shapes(DTYPE_BITS[dtype]))
    return found


def entries_of(tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> tuple[dict[str, Any], int]:
    """The entries of a header, and the size of the data in bytes."""
    entries, end = {}, 0
    for name, (dtype, shape) in tensors.items():
        size = prod(shape) * DTYPE_BITS[dtype] // 8
        entries[name] = {
            "dtype": dtype, "shape": list(shape), "data_offsets": [end, end + size],
        }  # fmt: skip
        end += size
    return entries, end


def file_of(header: bytes, data: int) -> bytes:
    """A safetensors file of zeros."""
    return len(header).to_bytes(8, "little") + header + bytes(data)


_HERE = "\x00here"  # no name, as it is not printable
WRONG: tuple[Any, ...] = (
    None, True, False, -1, -8, 2**31, 2**63, 2**64, 10**400, 1.0, 4.0, 0.5, float("nan"), "4", "",
    "I8", [], [4], [[4]], {}, {"a": 4}, [0, 4], [4, 0], [0, 0], [0, 4, 8], [-4, 0], [True, 4],
)  # fmt: skip


@st.composite
def one_fault(draw: st.DrawFn) -> bytes:
    """A safetensors file that was sound before one thing in it was changed."""
    whole = draw(tensors(least=1))
    entries, size = entries_of(whole)
    name = draw(st.sampled_from(sorted(entries)))
    entry, kind = entries[name], draw(st.integers(0, 8))
    if kind == 0:  # an offset is shifted
        entry["data_offsets"][draw(st.integers(0, 1))] += draw(st.sampled_from((-8, -1, 1, 8)))
    elif kind == 1:
        entry["dtype"] = draw(st.sampled_from(sorted(DTYPE_BITS)))
    elif kind == 2:
        at = draw(st.integers(0, len(entry["shape"])))
        entry["shape"][at : at + 1] = [draw(st.sampled_from(WRONG))]
    elif kind == 3:
        at = draw(st.integers(0, 1))
        entry["data_offsets"][at : at + 1] = [draw(st.sampled_from(WRONG))]
    elif kind == 4:  # a value of another type
        entry[draw(st.sampled_from(sorted(entry)))] = draw(st.sampled_from(WRONG))
    elif kind == 5:
        entries[name] = draw(st.sampled_from(WRONG))
    elif kind == 6:  # a key is missing
        del entry[draw(st.sampled_from(sorted(entry)))]
    elif kind == 7:  # a key is there twice
        return file_of(draw(_duplicated(entries, name)), size)
    content = file_of(json.dumps(entries).encode(), size)
    if kind == 8:  # bytes are cut off, or come after the end
        cut = draw(st.integers(-len(content), 9))
        return content[:cut] if cut < 0 else content + bytes(cut)
    return content


@st.composite
def _duplicated(draw: st.DrawFn, entries: Mapping[str, Any], name: str) -> bytes:
    """A header with a key of an entry, or an entry, written twice, perhaps with escapes."""
    inner = draw(st.booleans())
    key = draw(st.sampled_from(sorted(entries[name]))) if inner else name
    value = entries[name][key] if inner else entries[name]
    other = draw(st.sampled_from((value, value, 0, {}, "x")))
    written = json.dumps(key)
    if draw(st.booleans()):
        written = '"' + "".join(_escaped(char) for char in key) + '"'
    pair = f"{written}: {json.dumps(other)}"
    before = json.dumps({**entries, name: _HERE} if inner else entries)
    if inner:
        own = json.dumps(entries[name])
        both = draw(st.sampled_from((f"{{{pair}, {own[1:]}", f"{own[:-1]}, {pair}}}")))
        return before.replace(json.dumps(_HERE), both).encode()
    if draw(st.booleans()):  # a second value that has few marks of its own, beside metadata
        metadata = draw(st.dictionaries(st.sampled_from("abc"), st.just("x")))
        before = f'{{"__metadata__": {json.dumps(metadata)}, {before[1:]}'
    both = draw(st.sampled_from((f"{{{pair}, {before[1:]}", f"{before[:-1]}, {pair}}}")))
    return both.encode()


def _escaped(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


# Any JSON, and more than JSON: Python reads and writes NaN, too.
_TEXTS = st.text(st.characters(), max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS | st.sampled_from(VALUES)
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=12,
)


def objects(*keys: str) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects, mostly of keys that readers know."""
    return st.dictionaries(st.sampled_from(sorted(keys)) | _TEXTS, ANY_JSON, max_size=6)
