"""FP8, AWQ, GPTQ, bitsandbytes, MXFP4 and what else config.json names, recognised by its tensors.

Keys are those of transformers 5's `utils/quantization_config.py`; names of tensors those that the
methods' own savers write.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.checkpoint.checkpoint import Checkpoint
from registry.checkpoint.components import Components
from registry.checkpoint.quantization.layers import (
    FLOAT,
    UNKNOWN,
    Quantization,
    linear_layers,
)
from registry.checkpoint.safetensors import Tensor
from registry.names import printable

FLOATS = ("F64", "F32", "F16", "BF16")


def read_others(
    checkpoint: Checkpoint, config: Mapping[str, Any], components: Components
) -> Quantization:
    """Read a checkpoint whose config.json names a method, or that has none."""
    method = printable(str(config.get("quant_method", "unknown"))) if config else "none"
    if method == "unknown" and (config.get("load_in_4bit") or config.get("load_in_8bit")):
        method = "bitsandbytes"
    tensors = checkpoint.tensors
    algorithm = config.get("quant_algo")
    # Looked at for each layer; whatever else it is, it is long.
    config = {**config, "quant_algo": algorithm[:64] if isinstance(algorithm, str) else ""}
    layers = linear_layers(
        tensors.values(), components, lambda tensor: _scheme(tensor, method, config, tensors)
    )
    return Quantization(
        method=method,
        format=printable(
            str(config.get("version") or config.get("fmt") or config.get("quant_algo") or "")
        ),
        layers=layers,
        group_size=_group_size(method, config),
        symmetric=_symmetric(method, config),
        ignored=_ignored(config),
    )


def _scheme(
    tensor: Tensor, method: str, config: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> str:
    parent, _, leaf = tensor.name.rpartition(".")
    if leaf == "qweight":  # AWQ and GPTQ
        bits = _packed_bits(parent, tensors) or config.get("bits") or config.get("w_bit")
        return f"W{bits}A16" if type(bits) is int else UNKNOWN
    if leaf.endswith("_blocks"):  # gpt-oss
        return "W4A16_MXFP4"
    if tensor.dtype.startswith("F8"):
        return _fp8(parent, config, tensors)
    if f"{parent}.weight.absmax" in tensors:
        return "W4A16_FP4" if config.get("bnb_4bit_quant_type") == "fp4" else "W4A16_NF4"
    if tensor.dtype == "I8" and f"{parent}.SCB" in tensors:
        return "W8A16_LLM_INT8"
    if tensor.dtype == "U8" and str(config.get("quant_algo", "")).startswith("NVFP4"):
        return "W4A4_NVFP4"  # NVIDIA ModelOpt
    return FLOAT if tensor.dtype in FLOATS else UNKNOWN


def _packed_bits(module: str, tensors: Mapping[str, Tensor]) -> int | None:
    """Bits of AWQ's and GPTQ's packed values, by how many there are; layers can differ."""
    weight, scales = tensors[f"{module}.qweight"], tensors.get(f"{module}.scales")
    if scales is None or not scales.elements or weight.dtype != "I32":
        return None
    order, zeros = tensors.get(f"{module}.g_idx"), tensors.get(f"{module}.qzeros")
    if order is not None and order.elements:  # GPTQ: one entry for each input
        stored, values = weight.elements, order.elements * scales.shape[-1]
    elif zeros is not None:  # offsets are packed as the weights are, one for each scale
        stored, values = zeros.elements, scales.elements
    else:
        return None
    bits, rest = divmod(32 * stored, values)
    return bits if bits in (2, 3, 4, 8) and not rest else None


def _fp8(module: str, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    scale = tensors.get(f"{module}.weight_scale_inv") or tensors.get(f"{module}.weight_scale")
    scale = scale or tensors.get(f"{module}.scale")
    if config.get("weight_block_size") or (scale and min(scale.shape, default=1) > 1):
        return "W8A8FP8_BLOCK"
    dynamic = "_DYNAMIC" if f"{module}.input_scale" not in tensors else ""
    if scale and scale.elements > 1:
        return f"W8A8FP8{dynamic}"
    return f"W8A8FP8_TENSOR{dynamic}"


def _group_size(method: str, config: Mapping[str, Any]) -> int | None:
    if method == "mxfp4":
        return 32  # fixed by the format: OCP Microscaling Formats 1.0
    for key in ("group_size", "q_group_size"):
        if type(config.get(key)) is int and config[key] > 0:
            return int(config[key])
    return None


def _symmetric(method: str, config: Mapping[str, Any]) -> dict[str, bool | None]:
    weights: bool | None = None
    if method == "awq" and isinstance(config.get("zero_point"), bool):
        weights = not config["zero_point"]
    elif method == "gptq" and isinstance(config.get("sym"), bool):
        weights = config["sym"]
    elif method in ("fp8", "mxfp4", "bitsandbytes"):
        weights = True  # their number formats have no offset
    return {"weights": weights, "activations": True if method == "fp8" else None}


def _ignored(config: Mapping[str, Any]) -> tuple[str, ...]:
    for key in ("modules_to_not_convert", "ignored_layers", "llm_int8_skip_modules", "ignore"):
        if isinstance(config.get(key), list):
            return tuple(printable(str(item)) for item in config[key])
    return ()
