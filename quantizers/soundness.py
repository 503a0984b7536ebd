"""Whether numbers are numbers: floating point tensors finite, scales positive, read as a stream.

numpy alone is needed. Memory is bounded by one piece, 16 MiB and what is computed from it.
"""

from __future__ import annotations

from typing import Any

from quantizers.tensor_bytes import Placed, placed_tensors
from registry.checkpoint import Checkpoint
from registry.checkpoint.safetensors import DTYPE_BITS, Tensor
from registry.progress import Observer, Progress

# Leaves that are scales, of which zero, negative ones and none are no use (ModelSlim 26.1,
# compressed-tensors 0.19).
_SCALES = frozenset(
    {
        "weight_scale", "input_scale", "deq_scale", "kv_cache_scale", "k_scale", "v_scale",
        "q_scale", "weight_global_scale", "input_global_scale", "weight_scale_inv", "output_scale",
    }
)  # fmt: skip


def unsound_tensors(
    checkpoint: Checkpoint, observe: Observer, *, scales_only: bool = False
) -> list[str]:
    """Tensors that hold what is no number, or a scale that is not positive.

    Args:
        checkpoint: with a folder on this machine.
        observe: is told the bytes done.
        scales_only: leave the weights unread, which takes a small part of the time.

    Returns:
        `NAME: what is wrong`, in the order of the shards.
    """
    read = [p for p in placed_tensors(checkpoint) if not scales_only or _is_scale(p.tensor)]
    total = sum(placed.tensor.size for placed in read)
    done, found = 0, []
    for placed in read:
        tensor = placed.tensor
        problem = _problem(placed) if _is_looked_at(tensor) else ""
        if problem:
            found.append(f"{tensor.name}: {problem}")
        done += tensor.size
        observe(Progress("looking at the numbers", done, total, "bytes", tensor.name))
    return found


def _is_scale(tensor: Tensor) -> bool:
    return tensor.name.rpartition(".")[2] in _SCALES


def _is_looked_at(tensor: Tensor) -> bool:
    """Integers are always numbers; some integers are floats in disguise, see `_decoded`."""
    floats = tensor.dtype[0] in "BF" and tensor.dtype != "BOOL" and DTYPE_BITS[tensor.dtype] >= 8
    return tensor.elements > 0 and (floats or (_is_scale(tensor) and tensor.dtype == "I64"))


def _problem(placed: Placed) -> str:
    scale, seen = _is_scale(placed.tensor), 0
    for piece in placed.pieces():
        seen += len(piece)
        finite, positive = _look(piece, placed.tensor.dtype, scale)
        if not finite:
            return "holds infinities or what is no number"
        if not positive:
            return "holds scales that are not positive"
    return "" if seen == placed.tensor.size else "its bytes are missing"


def _look(piece: bytes, dtype: str, scale: bool) -> tuple[bool, bool]:
    """Whether all numbers of a piece are finite, and, for a scale, above zero."""
    import numpy as np

    if dtype == "F8_E8M0":  # powers of two; 255 is no number
        return not (np.frombuffer(piece, np.uint8) == 255).any(), True
    if dtype in ("F8_E4M3", "F8_E4M3FNUZ", "F8_E5M2", "F8_E5M2FNUZ"):
        return _look_at_bytes(np.frombuffer(piece, np.uint8), dtype, scale)
    if dtype == "I64":  # ModelSlim's deq_scale for NPUs: the bits of a float32
        values = np.frombuffer(piece, np.int64).astype(np.uint32).view(np.float32)
    elif dtype == "BF16":
        bits = np.frombuffer(piece, np.uint16)
        if not scale:  # the exponent tells
            return not ((bits & 0x7F80) == 0x7F80).any(), True
        values = (bits.astype(np.uint32) << 16).view(np.float32)
    else:
        names = {"F16": np.float16, "F32": np.float32, "F64": np.float64}
        values = np.frombuffer(piece, names[dtype])
    return bool(np.isfinite(values).all()), not scale or bool((values > 0).all())


def _look_at_bytes(bits: Any, dtype: str, scale: bool) -> tuple[bool, bool]:
    magnitude = bits & 0x7F
    if dtype == "F8_E4M3":
        finite = not (magnitude == 0x7F).any()
    elif dtype == "F8_E5M2":
        finite = not (magnitude >= 0x7C).any()
    else:  # FNUZ: negative zero is no number
        finite = not (bits == 0x80).any()
    positive = not ((bits & 0x80).any() or (magnitude == 0).any())
    return finite, not scale or positive
