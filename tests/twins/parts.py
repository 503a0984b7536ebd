"""What a model is made of: linear layers and other tensors, by name and shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

Config = Mapping[str, Any]


class Part(NamedTuple):
    """A linear layer (two dimensions, `linear`) or any other tensor.

    Attributes:
        name: of the linear layer without `.weight`; of the tensor otherwise.
        shape: output and input channels; or the tensor's.
        linear: whether a quantizer may quantize it.
        dtype: as the float model stores it.
    """

    name: str
    shape: tuple[int, ...]
    linear: bool = False
    dtype: str = "BF16"


def mlp(
    name: str, hidden: int, size: int, names: str = "gate_proj up_proj down_proj"
) -> list[Part]:
    """A gated feed-forward layer."""
    gate, up, down = names.split()
    return [
        Part(f"{name}.{gate}", (size, hidden), True),
        Part(f"{name}.{up}", (size, hidden), True),
        Part(f"{name}.{down}", (hidden, size), True),
    ]
