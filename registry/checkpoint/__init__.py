"""Reading a checkpoint without loading it: JSON files and the headers of safetensors shards."""

from registry.checkpoint.checkpoint import Checkpoint, open_checkpoint
from registry.checkpoint.safetensors import Tensor

__all__ = ["Checkpoint", "Tensor", "open_checkpoint"]
