"""Structured mutations of JSON values, steered by bytes: one byte changed is one choice changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

# Values that have hurt readers of JSON before, and all of its types.
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 5, 8, 2**31, 2**48, 2**63 - 1, 2**63, -(2**63), 10**9,
    10**400, 0.0, -0.0, 0.5, 1e300, float("nan"), float("inf"), float("-inf"), "", "0", "8", "Ⅷ",
    "x", "weight", "FLOAT", "W0A8", "W4A8_DYNAMIC", "W" + "9" * 5000 + "A8", "W٤A8", "NF0", "\x00",
    "\x1b[2J", "\x9b2J", "\u202e", "\ud800", "é", "../x", "/etc/passwd", "a\\b", "a/../b", ".",
    "C:/x", "x" * 300, "x" * 4096, "re:.*", "re:(", "re:(a+)+$", "re:(.*)*x", "re:" + "(" * 300,
    "re:(?V0)(?V1)", "re:[[a]&&", "re:a{1,99999}{1,99999}", "re:(?<x>.)(?P=x)\\g<0>", "Linear",
    [], {}, [[]], [{}], [None], {"": ""}, [0, 0], [1, 2, 3], ["x"], {"x": 1}, [-1], [2**62, 2**62],
    ["a", "a"], {"type": "float"}, {"weights": {}}, {"num_bits": 0}, {"rope_type": "x"},
)  # fmt: skip
DTYPES = ("F4", "F6_E2M3", "BOOL", "U8", "I8", "F8_E4M3", "BF16", "F32", "I32", "F64", "I64", "Q4")


class Choices:
    """Bytes as a row of decisions; zeros once they are used up."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """How many bytes there are still."""
        return max(0, len(self._data) - self._at)

    def below(self, limit: int) -> int:
        """A number from 0 to below `limit`, of one byte, or of two for large limits."""
        width = 1 if limit <= 256 else 2
        taken = self._data[self._at : self._at + width]
        self._at += width
        return int.from_bytes(taken, "big") % max(1, limit)

    def text(self) -> str:
        """A short text of any characters, half of surrogate pairs among them."""
        length = self.below(12)
        taken = self._data[self._at : self._at + length]
        self._at += length
        return taken.decode("utf-8", "surrogatepass" if length % 2 else "replace")


def any_value(choices: Choices) -> Any:
    """A JSON value of any type, hostile ones among them."""
    kind = choices.below(8)
    if kind == 0:
        return _nested(16 * choices.below(64), choices.below(2) == 0)
    if kind == 1:
        try:
            return choices.text()
        except UnicodeDecodeError:
            return "\udcff"
    if kind == 2:
        return choices.below(2**16) - 2**15
    if kind == 3:
        return DTYPES[choices.below(len(DTYPES))]
    return VALUES[choices.below(len(VALUES))]


def mutate(value: Any, choices: Choices) -> Any:
    """Change a JSON value at a path that the choices name; containers are changed in place."""
    holder: list[Any] = [value]
    parent: Any = holder
    key: Any = 0
    while isinstance(parent[key], (dict, list)) and parent[key]:
        # Most changes go deep: the top is one object in every file.
        if parent is not holder and choices.below(8) == 0:
            break
        inner = parent[key]
        at = choices.below(len(inner))
        parent, key = inner, list(inner)[at] if isinstance(inner, dict) else at
    if parent is holder and choices.below(8):
        return value
    _OPERATIONS[choices.below(len(_OPERATIONS))](parent, key, choices)
    return holder[0]


def dumped(value: Any) -> bytes:
    """JSON as it may stand in a file; a value too deep for Python's writer becomes brackets."""
    try:
        return json.dumps(value).encode()
    except RecursionError:
        return b"[" * 5000


def _replace(parent: Any, key: Any, choices: Choices) -> None:
    parent[key] = any_value(choices)


def _delete(parent: Any, key: Any, choices: Choices) -> None:
    if isinstance(parent, dict):
        del parent[key]
    else:
        parent[key : key + 1] = [] if len(parent) > 1 else [None]


def _rename(parent: Any, key: Any, choices: Choices) -> None:
    if isinstance(parent, dict):
        value = parent.pop(key)
        name = any_value(choices)
        parent[name if isinstance(name, str) else f"{key}.weight"] = value
    else:
        parent.reverse()


def _repeat(parent: Any, key: Any, choices: Choices) -> None:
    if isinstance(parent, dict):
        parent[f"{key}{choices.below(10)}"] = parent[key]
    else:
        parent[key:key] = [parent[key]] * choices.below(40)


def _shift(parent: Any, key: Any, choices: Choices) -> None:
    number = parent[key]
    if type(number) is int:
        parent[key] = number + choices.below(17) - 8
    elif isinstance(number, str):
        at = choices.below(len(number) + 1)
        other = VALUES[choices.below(len(VALUES))]
        parent[key] = number[:at] + (other if isinstance(other, str) else "") + number[at + 1 :]
    else:
        parent[key] = [number]


def _nested(depth: int, as_list: bool) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = [value] if as_list else {"rope_type": value}
    return value


_OPERATIONS: tuple[Callable[[Any, Any, Choices], None], ...] = (
    _replace, _replace, _replace, _delete, _rename, _repeat, _shift, _shift,
)  # fmt: skip
