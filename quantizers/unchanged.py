"""Which float tensors of a quantized model are those of its base, byte for byte."""

from __future__ import annotations

from dataclasses import dataclass

from quantizers.tensor_bytes import Placed, placed_tensors
from registry.checkpoint import Checkpoint
from registry.checkpoint.components import component_of
from registry.progress import Observer, Progress


@dataclass(frozen=True)
class FloatTensors:
    """What a comparison found.

    Attributes:
        shared: float tensors that both have under one name, with one dtype and shape.
        unchanged: how many of them have the same bytes.
        changed: the others, such as norms after smoothing.
        proves: whether one of the unchanged ones is a matrix, such as the embeddings, or a
            router: no other model has those.
    """

    shared: int
    unchanged: int
    changed: tuple[str, ...]
    proves: bool


def compare_float_tensors(base: Checkpoint, made: Checkpoint, observe: Observer) -> FloatTensors:
    """Compare what is float in both; nothing is compared where the base's bytes are elsewhere."""
    if base.folder is None or made.folder is None:
        return FloatTensors(0, 0, (), proves=False)
    ours = {placed.tensor.name: placed for placed in placed_tensors(made)}
    pairs = [
        (theirs, ours[theirs.tensor.name])
        for theirs in placed_tensors(base)
        if theirs.tensor.name in ours and _alike(theirs, ours[theirs.tensor.name])
    ]
    total, done = sum(left.tensor.size for left, _ in pairs), 0
    changed, unchanged, proves = [], 0, False
    for left, right in pairs:
        observe(Progress("comparing with the base", done, total, "bytes", left.tensor.name))
        if all(a == b for a, b in zip(left.pieces(), right.pieces(), strict=True)):
            unchanged += 1
            proves = proves or _tells(left)
        else:
            changed.append(left.tensor.name)
        done += left.tensor.size
    return FloatTensors(len(pairs), unchanged, tuple(changed), proves)


def _alike(left: Placed, right: Placed) -> bool:
    a, b = left.tensor, right.tensor
    return a.dtype == b.dtype and a.shape == b.shape and a.dtype in ("F32", "F16", "BF16", "F64")


def _tells(placed: Placed) -> bool:
    """Norms are all ones in a fresh model; matrices are no model's but its own."""
    tensor = placed.tensor
    return len(tensor.shape) == 2 and tensor.elements > 64 and component_of(tensor.name) != "norm"
