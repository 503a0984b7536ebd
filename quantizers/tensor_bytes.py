"""The bytes of tensors, read where they lie, as streams."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from registry.checkpoint import Checkpoint
from registry.checkpoint.data import data_offsets
from registry.checkpoint.safetensors import Tensor

PIECE = 2**24  # bytes read at once; a multiple of every element's size


@dataclass(frozen=True)
class Placed:
    """A tensor and where its bytes are.

    Attributes:
        tensor: as its header has it.
        path: of the shard.
        offset: of its first byte in the shard.
    """

    tensor: Tensor
    path: Path
    offset: int

    def pieces(self) -> Iterator[bytes]:
        """Its bytes in pieces of PIECE; fewer than its size if the file ends before."""
        left = self.tensor.size
        with self.path.open("rb") as file:
            file.seek(self.offset)
            while left > 0 and (piece := file.read(min(PIECE, left))):
                left -= len(piece)
                yield piece


def placed_tensors(checkpoint: Checkpoint) -> Iterator[Placed]:
    """All tensors of a checkpoint in a folder, shard by shard, as they lie."""
    assert checkpoint.folder is not None
    for name, offset in data_offsets(checkpoint).items():
        tensor = checkpoint.tensors[name]
        yield Placed(tensor, checkpoint.folder / tensor.shard, offset)
