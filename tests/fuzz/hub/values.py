"""Hostile values, and JSON texts with them in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from hypothesis import strategies as st


@lru_cache(maxsize=None, typed=True)  # 0 is not False here
def one_of(*choices: Any) -> st.SearchStrategy[Any]:
    """One of some values; made once, as making a strategy costs more than to draw from it."""
    return st.sampled_from(choices)


class Raw(str):
    """A text that stands in JSON as it is, also where it is no JSON."""

    __slots__ = ()


LONG = (256, 1025, 5000, 70_000)
DEEP = (50, 999, 5000, 100_000)

NUMBERS: tuple[Any, ...] = (
    0, -1, 1, 0.5, -0.0, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**30,
    Raw("1e400"), Raw("-1e400"), Raw("1e-400"), Raw("1E+9"), Raw("NaN"), Raw("-Infinity"),
    Raw("9" * 4000), Raw("9" * 5000), Raw("-" + "9" * 5000), Raw("1" + "0" * 400 + ".5"),
    Raw("01"), Raw("0x10"), Raw("+1"), Raw("1."), Raw("²"), Raw("1_000"),
)  # fmt: skip

TEXTS: tuple[str, ...] = (
    "", " ", "0", "-1", "1", "²", "١٢", "１２", "½", "1e400", "9" * 5000, "null", "true", "None",
    "main", "master", "HEAD", "side", "v1", "refs/heads/main", "refs/pr/1", "sha256-abc",
    "acme", "m", "acme/m", "acme/private", "made", "new-1", "config.json", "folder", "big.bin",
    ".", "..", "../..", "../../../../etc/passwd", "/etc/passwd", "a//b", "a/", "/a", "./a",
    "a/../b",
    "C:\\x", "a\\b", ".git/config", ".cache/x", "x.git", "con", "a:b", "~root", "a--b", "a..b",
    "\x00", "a\x00b", "\r\nX-A: b", "a\nb", "\x1b[2J", "\u202eabc", "\u200b", "\ufeff", "\ud800",
    "a\udfffb", "é", "e\u0301", "ﬁ", "ı", "İ", "😀", "\U0010ffff", "²" * 64, "%00",
    "%2e%2e%2f", "%",
    "%zz", "*", "?", "#", "&a=b", ";", "'", '"', "<script>", "{}", "${x}", "{0.__class__}", "%s%n",
    "a" * 64, "0" * 64, "f" * 40, "F" * 64, "g" * 64, "a" * 63, "YWJj", "YWJ", "====", "model",
    "dataset", "public", "file", "lfsFile", "deletedFile", "qreg.json", "README.md",
    "model.safetensors", "/" * 300, "a/" * 600, "a" * 255, "é" * 128, *("A" * n for n in LONG),
)  # fmt: skip

OTHERS: tuple[Any, ...] = (
    None, True, False, [], {}, [[]], [None], [{}], {"": None}, {"path": {}}, [1, "a", None, []],
    [0] * 3000, {str(n): n for n in range(300)}, {"__class__": {"__init__": 1}},
    *(Raw("[" * n + "]" * n) for n in DEEP),
    *(Raw('{"a":' * n + "1" + "}" * n) for n in DEEP),
    Raw("[" * 100_000), Raw(""), Raw("'a'"), Raw('"\\ud800"'), Raw('"\\u0000"'), Raw('"\\x"'),
    Raw("undefined"), Raw("[1,]"), Raw("// x"),
)  # fmt: skip

texts = st.one_of(
    st.sampled_from(TEXTS),
    st.text(st.characters(codec=None), max_size=12),
    st.from_regex(r"\A[A-Za-z0-9./_-]{1,20}\Z"),
)
numbers: st.SearchStrategy[Any] = st.one_of(st.sampled_from(NUMBERS), st.integers(-(2**70), 2**70))
values = st.one_of(st.sampled_from(NUMBERS), st.sampled_from(OTHERS), st.sampled_from(TEXTS), texts)


def written(value: Any, *, ascii_only: bool = True) -> str:
    """JSON of a value with raw texts in it."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Mapping):
        rows = (
            f"{json.dumps(key, ensure_ascii=ascii_only)}:{written(item, ascii_only=ascii_only)}"
            for key, item in value.items()
        )
        return "{" + ",".join(rows) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(item, ascii_only=ascii_only) for item in value) + "]"
    return json.dumps(value, ensure_ascii=ascii_only)


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The keys that lead to each value in a JSON value, itself first."""
    yield above
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from places(item, (*above, key))
    elif isinstance(value, list):
        for number, item in enumerate(value[:8]):
            yield from places(item, (*above, number))


def at(value: Any, place: tuple[Any, ...]) -> Any:
    """The value at a place."""
    for key in place:
        value = value[key]
    return value


def put(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    """The same value with another at one place."""
    if not place:
        return new
    key, rest = place[0], place[1:]
    copy = dict(value) if isinstance(value, Mapping) else list(value)
    copy[key] = put(copy[key], rest, new)
    return copy


@st.composite
def altered(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value, with something in it that it should not have."""
    place = draw(one_of(*places(value)))
    found = at(value, place)
    ways = ["replace", "wrap"]
    if isinstance(found, Mapping) and found:
        ways += ["drop", "rename", "twice", "more"]
    if isinstance(found, list):
        ways += ["repeat", "append"]
    way = draw(one_of(*ways))
    new: Any
    if way == "replace":
        new = draw(values)
    elif way == "wrap":
        new = ([found], {"a": found}, [[found, found]])[draw(one_of(0, 1, 2))]
    elif way in ("repeat", "append"):
        new = found * draw(one_of(0, 2, 50, 2000)) if way == "repeat" else [*found]
        new = new if way == "repeat" else [*new, draw(values)]
    else:
        key = draw(one_of(*found))
        rest = {k: v for k, v in found.items() if k != key}
        if way == "drop":
            new = rest
        elif way == "rename":
            new = {**rest, draw(texts): found[key]}
        elif way == "more":
            new = {**found, draw(texts): draw(values)}
        else:
            first = f"{json.dumps(key)}:{written(draw(values))}"
            new = Raw("{" + first + "," + written(found)[1:])
    return put(value, place, new)
