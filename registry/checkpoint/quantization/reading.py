"""Which method a checkpoint is quantized with, and the reader for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.checkpoint.checkpoint import Checkpoint
from registry.checkpoint.components import Components
from registry.checkpoint.quantization.compressed_tensors import read_compressed_tensors
from registry.checkpoint.quantization.layers import Quantization
from registry.checkpoint.quantization.modelslim import read_modelslim
from registry.checkpoint.quantization.others import read_others


def read_quantization(checkpoint: Checkpoint, layers: int | None) -> Quantization:
    """Read how a checkpoint is quantized.

    A ModelSlim description decides, as vLLM Ascend's `--quantization ascend` does; then
    config.json's `quantization_config`.

    Args:
        checkpoint: its metadata.
        layers: how many decoder layers config.json counts, or None.
    """
    components = Components(layers)
    if checkpoint.description is not None:
        return read_modelslim(checkpoint, components, layers)
    config = quantization_config(checkpoint.config)
    if config.get("quant_method") in ("compressed-tensors", "compressed_tensors"):
        return read_compressed_tensors(checkpoint, config, components, layers)
    return read_others(checkpoint, config, components)


def quantization_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """config.json's `quantization_config` (or its older name); empty where there is none."""
    for section in (config, config.get("text_config")):
        if isinstance(section, Mapping):
            for key in ("quantization_config", "compression_config"):
                if isinstance(section.get(key), Mapping):
                    found: Mapping[str, Any] = section[key]
                    return found
    return {}
