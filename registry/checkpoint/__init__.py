"""Reading a checkpoint without loading it: JSON files and the headers of safetensors shards."""

from registry.checkpoint.checkpoint import Checkpoint, Fault
from registry.checkpoint.reading import open_checkpoint, read_checkpoint
from registry.checkpoint.safetensors import Tensor
from registry.checkpoint.source import LocalSource, Source

__all__ = [
    "Checkpoint",
    "Fault",
    "LocalSource",
    "Source",
    "Tensor",
    "open_checkpoint",
    "read_checkpoint",
]
