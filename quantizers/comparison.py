"""Two checkpoints held against each other, tensor by tensor, by the sha256 of their bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from quantizers.tensor_bytes import placed_tensors
from registry.checkpoint import Checkpoint
from registry.progress import Observer, Progress


@dataclass(frozen=True)
class TensorChange:
    """A tensor that two checkpoints do not have alike.

    Attributes:
        name: of the tensor.
        what: how they differ, for people.
    """

    name: str
    what: str


def tensor_digests(checkpoint: Checkpoint, observe: Observer, stage: str) -> dict[str, str]:
    """`DTYPE [SHAPE] sha256` of each tensor of a checkpoint in a folder; every byte is read."""
    total, done = checkpoint.weight_bytes, 0
    found = {}
    for placed in placed_tensors(checkpoint):
        digest = hashlib.sha256()
        for piece in placed.pieces():
            digest.update(piece)
            done += len(piece)
            observe(Progress(stage, done, total, "bytes", placed.tensor.name))
        tensor = placed.tensor
        found[tensor.name] = f"{tensor.dtype} {list(tensor.shape)} {digest.hexdigest()}"
    return found


def tensor_changes(
    left: Checkpoint, right: Checkpoint, observe: Observer
) -> tuple[int, list[TensorChange]]:
    """Compare all tensors of two checkpoints in folders.

    Returns:
        How many are alike, and those that are not, by name.
    """
    before = tensor_digests(left, observe, "hashing the recorded tensors")
    after = tensor_digests(right, observe, "hashing the new tensors")
    changes = []
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            changes.append(TensorChange(name, "is not there any more"))
        elif name not in before:
            changes.append(TensorChange(name, "is new"))
        elif before[name] != after[name]:
            kind = before[name].rpartition(" ")[0]
            other = after[name].rpartition(" ")[0]
            what = "has other bytes" if kind == other else f"was {kind}, is {other}"
            changes.append(TensorChange(name, what))
    return len(before.keys() & after.keys()) - sum(
        change.name in before and change.name in after for change in changes
    ), changes
