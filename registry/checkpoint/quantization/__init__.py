"""How a checkpoint is quantized: a reader a method, and what they all return."""

from registry.checkpoint.quantization.layers import FLOAT, UNKNOWN, Layer, Quantization
from registry.checkpoint.quantization.reading import quantization_config, read_quantization

__all__ = [
    "FLOAT",
    "UNKNOWN",
    "Layer",
    "Quantization",
    "quantization_config",
    "read_quantization",
]
