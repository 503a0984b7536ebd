"""Where the bytes of each tensor lie; the headers tell it, since the format has no holes."""

from __future__ import annotations

from registry.checkpoint.checkpoint import Checkpoint


def data_offsets(checkpoint: Checkpoint) -> dict[str, int]:
    """Where each tensor begins in its shard, in bytes from the start of the file, by name.

    Args:
        checkpoint: whole, as `open_checkpoint` returns it: its tensors come in the order of their
            data, shard by shard, and no name is there twice.
    """
    reached = dict(checkpoint.header_sizes)
    offsets = {}
    for name, tensor in checkpoint.tensors.items():
        offsets[name] = reached[tensor.shard]
        reached[tensor.shard] += tensor.size
    return offsets
