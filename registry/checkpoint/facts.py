"""All that a checkpoint's metadata tells, in one value."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from registry.checkpoint.architecture import Architecture, read_architecture
from registry.checkpoint.checkpoint import Checkpoint
from registry.checkpoint.footprint import read_footprint
from registry.checkpoint.quantization import Quantization, read_quantization


@dataclass(frozen=True)
class Facts:
    """What is known of a checkpoint.

    Attributes:
        checkpoint: its metadata.
        architecture: what config.json says of the model.
        quantization: how it is quantized.
    """

    checkpoint: Checkpoint
    architecture: Architecture
    quantization: Quantization

    @cached_property
    def footprint(self) -> dict[str, Any]:
        """Bytes and parameters; see `footprint.read_footprint`."""
        return read_footprint(self.checkpoint, self.quantization, self.architecture.layers)


def read_facts(checkpoint: Checkpoint) -> Facts:
    """Derive the facts of a checkpoint."""
    architecture = read_architecture(checkpoint.config)
    return Facts(checkpoint, architecture, read_quantization(checkpoint, architecture.layers))
