"""Reading a checkpoint without loading it: JSON files and the headers of safetensors shards."""

from registry.checkpoint.checkpoint import Checkpoint, Fault
from registry.checkpoint.reading import open_checkpoint, read_checkpoint
from registry.checkpoint.safetensors import Tensor

__all__ = [
    "Checkpoint",
    "Fault",
    "Tensor",
    "open_checkpoint",
    "read_checkpoint",
]
