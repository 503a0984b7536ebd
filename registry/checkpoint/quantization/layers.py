"""The layers of a checkpoint that can be quantized, and what is known of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from registry.checkpoint.components import (
    TP_SLICES,
    Components,
    component_of,
    is_quantization_part,
)
from registry.checkpoint.safetensors import Tensor

FLOAT = "FLOAT"
UNKNOWN = "UNKNOWN"
# `compressed` are the values of compressed-tensors' sparse formats that are not zero.
_WEIGHTS = frozenset({"weight", "weight_packed", "qweight", "compressed"})
# Fused experts: transformers 5's, Qwen3.5's and gpt-oss's names of one 3-D or 4-D tensor.
_FUSED = ("gate_up_proj", "down_proj", "gate_up_proj_blocks", "down_proj_blocks", "w1", "w2", "w3")

_BYTES = ("U8", "I8")
_LEAVES = (*_WEIGHTS, *_FUSED)  # a first, fast look


class Layer(NamedTuple):
    """A linear layer, or the fused experts of a layer in one tensor.

    Attributes:
        module: its name, `model.layers.0.self_attn.q_proj`.
        component: one of `components.COMPONENTS`.
        scheme: how it is quantized, in ModelSlim's vocabulary: `W8A8_DYNAMIC`; `FLOAT` if it is
            not, `UNKNOWN` if nothing says how.
        tensor: its weights, as stored.
        number: of the decoder layer that it is in; None outside of them.
    """

    module: str
    component: str
    scheme: str
    tensor: Tensor
    number: int | None = None


@dataclass(frozen=True)
class Quantization:
    """How a checkpoint is quantized.

    Attributes:
        method: `modelslim`, `compressed-tensors`, `fp8`, `awq`, `gptq`, `bitsandbytes`, another
            name that config.json gives, or `none`.
        format: the variant of the method: `ascendV1 1.0.0`, `int-quantized`, …; empty if none.
        layers: every linear layer, quantized or not; the histogram counts routed experts as `moe`.
        computations: layers by scheme for what is quantized beside weights: `kv_cache`,
            `flash_attention`, `indexer`.
        group_size: weights that share a scale along the input dimension; None without groups.
        symmetric: whether `weights` and `activations` are quantized symmetrically; None where
            metadata cannot tell.
        ignored: what was left out of quantization: patterns of config.json, or for ModelSlim the
            kinds of layers that are float.
        declared: ModelSlim's `model_quant_type`, which is unreliable and decides nothing.
        tensor_parallel: the TP size that the layout is bound to, or may not exceed; None if any.
        rotated: whether rotations (QuaRot, FlatQuant) are part of the model.
    """

    method: str
    format: str = ""
    layers: tuple[Layer, ...] = ()
    computations: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    group_size: int | None = None
    symmetric: Mapping[str, bool | None] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    declared: str | None = None
    tensor_parallel: int | None = None
    rotated: bool = False

    @cached_property
    def schemes(self) -> dict[str, dict[str, int]]:
        """Layers by scheme, for each kind of layer and computation."""
        counts: dict[str, Counter[str]] = {}
        pairs = Counter((layer.component, layer.scheme) for layer in self.layers)
        for (component, scheme), count in pairs.items():
            kind = "moe" if component == "experts" else component
            counts.setdefault(kind, Counter())[scheme] += count
        result = {kind: dict(counter.most_common()) for kind, counter in sorted(counts.items())}
        return {**result, **{kind: dict(found) for kind, found in self.computations.items()}}

    @property
    def scheme(self) -> str:
        """The one of most quantized layers."""
        counts = Counter(layer.scheme for layer in self.layers if layer.scheme != FLOAT)
        return counts.most_common(1)[0][0] if counts else FLOAT

    def to_json(self) -> dict[str, Any]:
        """The manifest's `quantization` section."""
        caches = self.computations.get("kv_cache", {})
        return {
            "method": self.method,
            "format": self.format,
            "scheme": self.scheme,
            "schemes": self.schemes,
            "group_size": self.group_size,
            "symmetric": dict(self.symmetric),
            "ignored": list(self.ignored),
            "kv_cache": next(iter(caches), None),
            "declared": self.declared,
            "tensor_parallel": self.tensor_parallel,
            "rotated": self.rotated,
        }


def linear_layers(
    tensors: Iterable[Tensor], components: Components, scheme_of: Callable[[Tensor], str]
) -> tuple[Layer, ...]:
    """The linear layers and fused experts among some tensors, each with its scheme."""
    found = []
    for tensor in tensors:
        name = tensor.name
        if name.endswith(_LEAVES) and _may_be_linear(tensor):
            component, number = components.place(name)
            if component not in ("embedding", "norm"):
                found.append(
                    Layer(layer_module(tensor), component, scheme_of(tensor), tensor, number)
                )
    return tuple(found)


def is_linear_weight(tensor: Tensor) -> bool:
    """Whether a tensor is the weight matrix of a linear layer or of fused experts."""
    return _may_be_linear(tensor) and component_of(tensor.name) not in ("embedding", "norm")


def _may_be_linear(tensor: Tensor) -> bool:
    """By leaf and shape; embeddings look the same."""
    parent, _, leaf = tensor.name.rpartition(".")
    if leaf in _WEIGHTS:
        # bitsandbytes stores 4-bit weights as one column, ModelSlim's NF4 and W8A8SC as vectors.
        vector = tensor.dtype in _BYTES or leaf == "compressed"
        matrix = len(tensor.shape) == 2 or (len(tensor.shape) == 1 and vector)
        return matrix and TP_SLICES not in tensor.name
    return (
        leaf in _FUSED
        and len(tensor.shape) in (3, 4)
        and parent.endswith("experts")
        and not is_quantization_part(tensor.name)
    )


def layer_module(tensor: Tensor) -> str:
    """The module of a linear weight; for fused experts the tensor itself is named like one."""
    parent, _, leaf = tensor.name.rpartition(".")
    return parent if leaf in _WEIGHTS else f"{parent}.{leaf.split('_blocks')[0]}"
