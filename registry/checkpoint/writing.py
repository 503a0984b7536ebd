"""Writing safetensors files piece by piece, so that no tensor has to fit into memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from registry.checkpoint.safetensors import DTYPE_BITS
from registry.errors import IntegrityError

_ALIGNMENT = 8  # bytes; the header is filled up with spaces, as the safetensors crate does it


class Planned(NamedTuple):
    """A tensor that will be written: its name, element type and shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """In bytes."""
        return prod(self.shape) * DTYPE_BITS[self.dtype] // 8


def write_shard(
    path: Path, tensors: Sequence[Planned], pieces: Iterable[bytes | memoryview]
) -> None:
    """Write one file.

    Args:
        path: where to.
        tensors: in the order of their data.
        pieces: all of their data in that order, cut anywhere.

    Raises:
        IntegrityError: the pieces are not as long as the tensors.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    reached = 0
    for tensor in tensors:
        header[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [reached, reached + tensor.size],
        }
        reached += tensor.size
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        begun = file.tell()
        for piece in pieces:
            file.write(piece)
        written = file.tell() - begun
    if written != reached:
        raise IntegrityError(f"{path.name} got {written} bytes of data, and needs {reached}")
