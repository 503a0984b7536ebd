"""Checking that the layers a recipe names are quantized, by the headers of source and output.

A tool's exit code and its word "done" are not believed: both known quantizers can end well and
leave layers as they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from quantizers.interface import Intent
from registry.checkpoint import Checkpoint
from registry.checkpoint.components import Components, module_of
from registry.checkpoint.facts import Facts
from registry.checkpoint.quantization.layers import FLOAT, UNKNOWN, is_linear_weight
from registry.checkpoint.safetensors import Tensor

# Fused experts are one 3-D tensor in some checkpoints and one matrix each in others.
_FUSED = {"gate_up_proj": ("gate_proj", "up_proj"), "down_proj": ("down_proj",)}


@dataclass(frozen=True)
class Coverage:
    """How an output compares with what was intended.

    Attributes:
        missed: layers that stayed float, or are gone, sorted.
        other: layers with another scheme than intended: module, intended, found; sorted.
        computations: what should be quantized beside weights and is not.
        spare: how many of `missed` the tool was free to leave.
    """

    missed: tuple[str, ...]
    other: tuple[tuple[str, str, str], ...]
    computations: tuple[str, ...]
    spare: int = 0

    @property
    def complete(self) -> bool:
        """Whether all is as intended."""
        return len(self.missed) <= self.spare and not self.other and not self.computations


def linear_modules(checkpoint: Checkpoint, layers: int | None) -> Iterator[tuple[str, str]]:
    """Module and component of each linear layer of a float model; fused experts one by one.

    Args:
        checkpoint: the model.
        layers: decoder layers that config.json counts; those beyond are MTP layers.
    """
    components = Components(layers)
    for tensor in checkpoint.tensors.values():
        if is_linear_weight(tensor):
            component = components.of(tensor.name)
            for module in _modules(tensor):
                yield module, component


def _modules(tensor: Tensor) -> list[str]:
    parent, _, leaf = tensor.name.rpartition(".")
    if len(tensor.shape) == 3 and leaf in _FUSED:
        return [
            f"{parent}.{expert}.{part}"
            for expert in range(tensor.shape[0])
            for part in _FUSED[leaf]
        ]
    return [module_of(tensor.name)]


def coverage(intent: Intent, output: Facts) -> Coverage:
    """Hold the layers of an output against what was intended."""
    found = {layer.module: layer.scheme for layer in output.quantization.layers}
    tensors = output.checkpoint.tensors
    missed, other = [], []
    for module, scheme in intent.layers.items():
        have = found.get(module, FLOAT)
        if have in (FLOAT, UNKNOWN) or not _is_stored_quantized(module, have, tensors):
            missed.append(module)
        elif scheme and have != scheme:
            other.append((module, scheme, have))
    lacking = sorted(intent.computations.keys() - output.quantization.computations.keys())
    return Coverage(tuple(sorted(missed)), tuple(sorted(other)), tuple(lacking), spare=intent.spare)


def _is_stored_quantized(module: str, scheme: str, tensors: Mapping[str, Tensor]) -> bool:
    """Whether a layer's weight is no float, and has the scale that turns it back into one."""
    if f"{module}.weight_packed" in tensors:
        return f"{module}.weight_scale" in tensors
    weight = tensors.get(f"{module}.weight")
    if weight is None:
        return False
    if scheme.startswith(("W16", "FLOAT_")):  # sparse or transformed, in floating point
        return True
    # ModelSlim's static types fold the scale of the weight into that of the result.
    scaled = f"{module}.weight_scale" in tensors or f"{module}.deq_scale" in tensors
    return scaled and (weight.dtype in ("I8", "U8") or weight.dtype.startswith("F8"))
