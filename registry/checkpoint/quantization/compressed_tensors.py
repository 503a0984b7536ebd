"""compressed-tensors' `quantization_config`: every format and strategy that its library reads.

Names and meanings are those of compressed-tensors 0.19.0 (`config/base.py`,
`quantization/quant_args.py`, `quantization/quant_scheme.py`). A scheme gets ModelSlim's name where
vLLM Ascend maps it to one, and a name made the same way where it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from registry.checkpoint.checkpoint import Checkpoint
from registry.checkpoint.components import Components
from registry.checkpoint.quantization.layers import (
    FLOAT,
    UNKNOWN,
    Quantization,
    layer_module,
    linear_layers,
)
from registry.checkpoint.quantization.patterns import Budget, Patterns
from registry.checkpoint.safetensors import Tensor
from registry.names import printable

Group = Mapping[str, Any]
_MOST_GROUPS = 256  # real configurations have a few; each is held against each layer


def read_compressed_tensors(
    checkpoint: Checkpoint,
    config: Mapping[str, Any],
    components: Components,
    layers: int | None,
) -> Quantization:
    """Read the groups of a quantization_config and find which layers they were applied to.

    Args:
        checkpoint: what holds the tensors.
        config: its quantization_config.
        components: names the parts of this model.
        layers: of the model, for a KV cache that is quantized in all of them.
    """
    groups = _groups(config)
    scheme_of = _matcher(groups)
    tensors = checkpoint.tensors

    def scheme(tensor: Tensor) -> str:
        return scheme_of(layer_module(tensor)) if _is_quantized(tensor, tensors) else FLOAT

    found = linear_layers(tensors.values(), components, scheme)
    first = groups[0] if groups else {}
    return Quantization(
        method="compressed-tensors",
        format=printable(str(config.get("format") or first.get("format") or "")),
        layers=found,
        computations=_cache(config, checkpoint.tensors, layers),
        group_size=_common(filter(None, (_group_size(_args(g, "weights")) for g in groups))),
        symmetric={
            "weights": _symmetric(groups, "weights"),
            "activations": _symmetric(groups, "input_activations"),
        },
        ignored=tuple(printable(text) for text in _texts(config.get("ignore"))),
        rotated=bool(config.get("transform_config")),
    )


def scheme_name(weights: Mapping[str, Any], activations: Mapping[str, Any]) -> str:
    """The name of a scheme from the arguments of weights and of input activations.

    `W8A8_DYNAMIC`: integers, activations per token; `W8A8`: activations calibrated; `W4A16`:
    weights only; `W8A8FP8_DYNAMIC`: floats of 8 bits; `…_MXFP8`, `…_MXFP4`, `…_NVFP4`: floats in
    small groups with shared scales. One scale a channel for 8 bits and one a group for less go
    without saying; other strategies are named (`W8A8_TENSOR_DYNAMIC`, `W8A8FP8_BLOCK`,
    `W4A16_CHANNEL`), and so is asymmetry (`W4A16_ASYM`).
    """
    bits, strategy = weights.get("num_bits", 8), str(weights.get("strategy") or "")
    base = f"W{bits}A{activations.get('num_bits', 8) if activations else 16}"
    if weights.get("type") == "float":
        if bits == 4:
            return base + ("_NVFP4" if strategy == "tensor_group" else "_MXFP4")
        if _group_size(weights):
            return f"{base}_MXFP8"
        base += "FP8"
    elif activations and activations.get("type") == "float":
        base += "FP8"
    usual = "channel" if bits == 8 else "group"
    if strategy not in ("", usual):
        base += f"_{strategy.upper()}"
    if weights.get("symmetric") is False or activations.get("symmetric") is False:
        base += "_ASYM"
    # Activations per block are always computed as they come.
    return base + ("_DYNAMIC" if activations.get("dynamic") and strategy != "block" else "")


def groups_by_scheme(config: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The groups of a quantization_config by the scheme that they give their layers."""
    return {
        printable(scheme_name(_args(g, "weights"), _args(g, "input_activations"))): g
        for g in _groups(config)
    }


def targets_of(config: Mapping[str, Any]) -> tuple[Patterns, Patterns]:
    """What a quantization_config claims to quantize, and what it leaves out."""
    targets = [t for group in _groups(config) for t in _texts(group.get("targets"))]
    return Patterns(targets), Patterns(_texts(config.get("ignore")))


def _matcher(groups: list[Group]) -> Callable[[str], str]:
    names = [
        printable(scheme_name(_args(g, "weights"), _args(g, "input_activations"))) for g in groups
    ]
    if len(groups) == 1:
        return lambda module: names[0]
    budget = Budget()
    targets = [Patterns(_texts(group.get("targets")), budget) for group in groups]

    def find(module: str) -> str:
        # A name or pattern is more specific than a class such as Linear.
        for name, patterns in zip(names, targets, strict=True):
            if patterns.match(module):
                return name
        for name, patterns in zip(names, targets, strict=True):
            if "Linear" in patterns:
                return name
        return UNKNOWN

    return find


def _is_quantized(tensor: Tensor, tensors: Mapping[str, Tensor]) -> bool:
    leaf = tensor.name.rpartition(".")[2]
    if leaf in ("weight_packed", "compressed"):
        return leaf == "weight_packed" or tensor.dtype == "I8"
    stored_as_float = tensor.dtype in ("F32", "F16", "BF16", "F64")
    if leaf != "weight":  # fused experts
        return any(f"{tensor.name}{part}" in tensors for part in ("_scale", "_packed"))
    return not stored_as_float


def _cache(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], layers: int | None
) -> dict[str, dict[str, int]]:
    scheme = config.get("kv_cache_scheme")
    if not isinstance(scheme, Mapping):
        return {}
    kind = "FP" if scheme.get("type") == "float" else "INT"
    scaled = sum(1 for name in tensors if name.endswith(".k_scale"))
    name = printable(f"{kind}{scheme.get('num_bits', 8)}")
    return {"kv_cache": {name: scaled or layers or 0}}


def _groups(config: Mapping[str, Any]) -> list[Group]:
    groups = config.get("config_groups")
    found = groups.values() if isinstance(groups, Mapping) else ()
    sound = (g for g in found if isinstance(g, Mapping) and isinstance(g.get("weights"), Mapping))
    return list(islice(sound, _MOST_GROUPS))


def _args(group: Group, part: str) -> Mapping[str, Any]:
    args = group.get(part)
    return args if isinstance(args, Mapping) else {}


def _group_size(weights: Mapping[str, Any]) -> int | None:
    size = weights.get("group_size")
    return size if type(size) is int and size > 0 else None


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _symmetric(groups: list[Group], part: str) -> bool | None:
    """Whether all groups that have this part are symmetric, or none is; else None."""
    found = [args.get("symmetric", True) for group in groups if (args := _args(group, part))]
    value = _common(found)
    return value if isinstance(value, bool) else None


def _common(values: Iterable[Any]) -> Any:
    """The value, if all are the same; None if they differ, or there are none."""
    listed = list(values)
    return listed[0] if listed and all(value == listed[0] for value in listed) else None
