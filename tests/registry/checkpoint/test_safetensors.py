"""Headers of shards: what is read, and every way in which a file can be broken."""

from __future__ import annotations

import json
import pickle

import pytest

from registry.checkpoint.safetensors import Tensor, read_header
from registry.errors import IntegrityError
from tests.checkpoints import header_of

GOOD = {"a.weight": ("BF16", [2, 3]), "b": ("I8", [5]), "c": ("F4", [4])}


def _read(content: bytes) -> tuple[Tensor, ...]:
    return read_header("x.safetensors", len(content), lambda at, n: content[at : at + n]).tensors


def _file(header: object, data: int) -> bytes:
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return len(text).to_bytes(8, "little") + text + bytes(data)


def _entry(**change: object) -> dict[str, object]:
    return {"x": {"dtype": "I8", "shape": [4], "data_offsets": [0, 4], **change}}


def test_a_whole_file_is_read() -> None:
    header, size = header_of(GOOD)
    tensors = _read(header + bytes(size))
    assert [t.name for t in tensors] == list(GOOD)
    assert tensors[0] == Tensor("a.weight", "BF16", (2, 3), 12, "x.safetensors")
    assert [t.size for t in tensors] == [12, 5, 2]


BROKEN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "short": (b"\x01\x02", "truncated"),
    "header longer than file": (_file(b"{}", 0)[:-1], "truncated"),
    "huge header": ((2**62).to_bytes(8, "little") + b"{}", "truncated"),
    "pickle": (pickle.dumps({"w": list(range(999))}), "pickle"),
    "torch archive": (b"PK\x03\x04" + bytes(100), "archive"),
    "lfs pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "LFS"),
    "not json": (_file(b"{nope", 0), "not JSON"),
    "deep json": (_file(b"[" * 200_000, 0), "not JSON"),
    "not an object": (_file([1], 0), "not a JSON object"),
    "duplicate key": (_file(b'{"a": 1, "a": 2}', 0), "twice"),
    "unknown dtype": (_file(_entry(dtype="Q4"), 4), "unknown dtype"),
    "dtype no string": (_file(_entry(dtype=["I8"]), 4), "unknown dtype"),
    "negative shape": (_file(_entry(shape=[-4]), 4), "impossible shape"),
    "float shape": (_file(_entry(shape=[4.0]), 4), "impossible shape"),
    "boolean offset": (_file(_entry(data_offsets=[False, 4]), 4), "does not fill"),
    "shape no list": (_file(_entry(shape="4"), 4), "impossible shape"),
    "size mismatch": (_file(_entry(shape=[5]), 4), "does not fill"),
    "hole": (_file(_entry(data_offsets=[2, 6]), 6), "predecessor ends at 0"),
    "odd nibbles": (_file(_entry(dtype="F4", shape=[3], data_offsets=[0, 2]), 2), "does not fill"),
    "truncated data": (_file(_entry(), 3), "truncated"),
    "bytes after the end": (_file(_entry(), 5), "need"),
    "malformed entry": (_file({"x": 3}, 0), "malformed"),
    "too many dimensions": (_file(_entry(shape=[1] * 33 + [4]), 4), "impossible shape"),
    "metadata no texts": (_file({"__metadata__": {"format": 1}}, 0), "__metadata__"),
    "not utf-8": (_file('{"x": {}}'.encode("utf-16-le"), 0), "not JSON"),
    "terminal codes in a name": (_file({"\x1b[2J": _entry()["x"]}, 4), "impossible name"),
    "half a character": (
        _file(b'{"\\ud800": {"dtype": "I8", "shape": [0], "data_offsets": [0, 0]}}', 0),
        "impossible name",
    ),
    "web page": (b"<!DOCTYPE html><html>" + bytes(50), "web page"),
    "overflowing shape": (_file(_entry(shape=[2**40, 2**40]), 4), "does not fill"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_refused_and_named(case: str) -> None:
    content, reason = BROKEN[case]
    with pytest.raises(IntegrityError, match=r"x\.safetensors") as caught:
        _read(content)
    assert reason in caught.value.message


@pytest.mark.parametrize("expect", [0, 8, 20, 10_000])
def test_any_first_read_gives_the_same_header(expect: int) -> None:
    header, size = header_of(GOOD)
    content, reads = header + bytes(size), []

    def read(offset: int, length: int) -> bytes:
        reads.append((offset, length))
        return content[offset : offset + length]

    found = read_header("x", len(content), read, expect=expect)
    assert [t.name for t in found.tensors] == list(GOOD)
    assert found.size == len(header)
    assert len(reads) == (1 if expect >= len(header) else 2)


def test_tensors_without_elements_lie_anywhere() -> None:
    content = {"a": ("I8", [0, 4]), "b": ("I8", [4]), "c": ("F32", [0])}
    header, size = header_of(content)
    assert {t.name for t in _read(header + bytes(size))} == set(content)


def test_random_damage_never_escapes_as_another_error() -> None:
    import random

    header, size = header_of(GOOD)
    whole = header + bytes(size)
    rng = random.Random(1)
    for _ in range(3000):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 6)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        damaged = bytes(content[: rng.randint(0, len(content))])
        try:
            _read(damaged)
        except IntegrityError:
            continue
