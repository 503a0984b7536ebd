"""How a checkpoint is quantized: the method, and the scheme of every linear layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from registry.checkpoint.checkpoint import Checkpoint
from registry.checkpoint.components import component_of, is_quantization_part, module_of
from registry.checkpoint.safetensors import Tensor

FLOAT = "FLOAT"
# ModelSlim's description: every other key is `tensor name: type`.
_MODELSLIM_KEYS = frozenset(
    {
        "version", "model_quant_type", "metadata", "group_size", "optional", "kv_cache_type",
        "kv_quant_type", "fa_quant_type", "reduce_quant_type", "indexer_quant_type",
        "is_rot_used", "max_supported_tp",
    }
)  # fmt: skip


def read_quantization(checkpoint: Checkpoint) -> dict[str, Any]:
    """The manifest's `quantization` section.

    Returns:
        `{"method", "schemes": {layer kind: {scheme: layers}}, "scheme", "group_size", "ignored",
        "kv_cache"}`. `method` is `modelslim`, `compressed-tensors`, `fp8`, `awq`, `gptq`,
        `bitsandbytes`, another name that config.json gives, or `none`. `scheme` is the one of
        most quantized layers.
    """
    config = quantization_config(checkpoint.config)
    if checkpoint.description is not None:
        method = "modelslim"
        of_module = _modelslim_schemes(checkpoint.description)
    else:
        method = str(config.get("quant_method", "unknown")) if config else "none"
        of_module = _stored_schemes(checkpoint.tensors, method, config)
    schemes: dict[str, Counter[str]] = {}
    for name, tensor in checkpoint.tensors.items():
        if is_linear_weight(tensor):
            kind = _layer_kind(name)
            module = module_of(name)
            schemes.setdefault(kind, Counter())[of_module.get(module, FLOAT)] += 1
    quantized = Counter[str]()
    for counts in schemes.values():
        quantized.update({k: v for k, v in counts.items() if k != FLOAT})
    ignored = config.get("ignore", [])
    return {
        "method": method,
        "scheme": quantized.most_common(1)[0][0] if quantized else FLOAT,
        "schemes": {kind: dict(counts.most_common()) for kind, counts in sorted(schemes.items())},
        "group_size": _group_size(checkpoint.description, config),
        "ignored": list(ignored) if isinstance(ignored, list) else [],
        "kv_cache": _kv_cache(checkpoint.description, config),
    }


def quantization_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """config.json's `quantization_config` (or its older name); empty where there is none."""
    for section in (config, config.get("text_config")):
        if isinstance(section, Mapping):
            for key in ("quantization_config", "compression_config"):
                if isinstance(section.get(key), Mapping):
                    found: Mapping[str, Any] = section[key]
                    return found
    return {}


def is_linear_weight(tensor: Tensor) -> bool:
    """Whether a tensor is the weight matrix of a linear layer or of fused experts."""
    suffix = tensor.name.rpartition(".")[2]
    fused_experts = ".experts." in tensor.name and len(tensor.shape) == 3
    matrix = suffix in ("weight", "weight_packed", "qweight") and len(tensor.shape) == 2
    return (
        (matrix or fused_experts)
        and not is_quantization_part(tensor.name)
        and component_of(tensor.name) not in ("embedding", "norm")
    )


def _layer_kind(name: str) -> str:
    component = component_of(name)
    return {"experts": "moe", "shared_experts": "shared_experts", "router": "router"}.get(
        component, component if component in ("lm_head", "attention", "vision", "mtp") else "linear"
    )


def _modelslim_schemes(description: Mapping[str, Any]) -> dict[str, str]:
    return {
        module_of(name): scheme
        for name, scheme in description.items()
        if name not in _MODELSLIM_KEYS and name.endswith(".weight") and isinstance(scheme, str)
    }


def _stored_schemes(
    tensors: Mapping[str, Tensor], method: str, config: Mapping[str, Any]
) -> dict[str, str]:
    activations = _activation_suffix(config)
    schemes = {}
    for name, tensor in tensors.items():
        module, _, part = name.rpartition(".")
        if part == "weight" and tensor.dtype == "I8":
            schemes[module] = f"W8{activations}"
        elif part == "weight" and tensor.dtype.startswith("F8"):
            schemes[module] = "W8A8_FP8" if method == "fp8" else f"W8{activations or 'A16'}_FP8"
        elif part in ("weight_packed", "qweight"):
            schemes[module] = f"W{_weight_bits(config)}{activations}"
    return schemes


def _first_group(config: Mapping[str, Any]) -> Mapping[str, Any]:
    groups = config.get("config_groups")
    for group in groups.values() if isinstance(groups, Mapping) else ():
        if isinstance(group, Mapping):
            return group
    return {}


def _activation_suffix(config: Mapping[str, Any]) -> str:
    activations = _first_group(config).get("input_activations")
    if not isinstance(activations, Mapping):
        return "A16"
    dynamic = "_DYNAMIC" if activations.get("dynamic") else ""
    return f"A{activations.get('num_bits', 16)}{dynamic}"


def _weights(config: Mapping[str, Any]) -> Mapping[str, Any]:
    weights = _first_group(config).get("weights")
    return weights if isinstance(weights, Mapping) else {}


def _weight_bits(config: Mapping[str, Any]) -> Any:
    return _weights(config).get("num_bits") or config.get("bits") or config.get("w_bit") or 4


def _group_size(description: Mapping[str, Any] | None, config: Mapping[str, Any]) -> int | None:
    candidates = [(description or {}).get("group_size"), _weights(config).get("group_size")]
    candidates += [config.get("group_size"), config.get("q_group_size")]
    return next((int(c) for c in candidates if isinstance(c, int) and c > 0), None)


def _kv_cache(description: Mapping[str, Any] | None, config: Mapping[str, Any]) -> str | None:
    named = (description or {}).get("kv_cache_type") or (description or {}).get("kv_quant_type")
    if isinstance(named, str):
        return named
    scheme = config.get("kv_cache_scheme")
    return f"{scheme.get('num_bits')}-bit" if isinstance(scheme, Mapping) else None
