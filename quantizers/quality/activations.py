"""How an artifact wants activations quantized, in words that the worker carries out.

A rule is one of
  {"kind": "int", "bits": b}                              a scale a token, symmetric
  {"kind": "int", "bits": b, "scale": s, "offset": o}     calibrated: round(x / s) + o
  {"kind": "fp8"}, {"kind": "fp8", "scale": s}            E4M3, a scale a token, or calibrated
  {"kind": "fp8", "group": g}                             E4M3, a scale for each g values
  {"kind": "mx", "bits": b}, {"kind": "mx", "bits": b, "outer": g}    MX; scaled in groups before
  {"kind": "nvfp4", "scale": s}                           E2M1 in groups of 16 under a global scale
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from quantizers.quality.coding.coded import Unreadable
from quantizers.quality.tensors import TensorData
from registry.checkpoint.facts import Facts
from registry.checkpoint.quantization import quantization_config
from registry.checkpoint.quantization.compressed_tensors import groups_by_scheme
from registry.checkpoint.quantization.layers import FLOAT, Layer

Rule = dict[str, Any]
_INTEGERS = re.compile(r"W(?:8|4)A([48])_(?:DYNAMIC|MIX)")
_STATIC = ("W8A8", "W8A8S")
_NONE = re.compile(r"W\d+A16\w*|FLOAT|W16A16S")
_MX = {
    "W8A8_MXFP8": {"kind": "mx", "bits": 8},
    "W4A8_MXFP": {"kind": "mx", "bits": 8},
    "W4A4_MXFP4": {"kind": "mx", "bits": 4},
    "W4A4_MXFP4_SVD": {"kind": "mx", "bits": 4},
    "W4A4_MXFP4_DUALSCALE": {"kind": "mx", "bits": 4, "outer": 256},
}
_BLOCK = 128  # inputs that share a scale in DeepSeek's FP8


def input_rule(layer: Layer, facts: Facts, data: TensorData) -> Rule | Unreadable | None:
    """The rule for the inputs of a layer; None where they stay in floating point.

    W8A8_MIX quantizes as for prefill, which predicting a text is: a scale a token.
    """
    scheme = layer.scheme
    if scheme == FLOAT or _NONE.fullmatch(scheme):
        return None
    if facts.quantization.method == "compressed-tensors":
        group = groups_by_scheme(quantization_config(facts.checkpoint.config)).get(scheme)
        return _of_arguments(layer, group or {}, data)
    if facts.quantization.method == "modelslim":
        return _of_modelslim(layer, data)
    if scheme.startswith("W8A8FP8"):
        if scheme.endswith("BLOCK"):
            return {"kind": "fp8", "group": _BLOCK}
        static = _number(f"{layer.module}.input_scale", data)
        return {"kind": "fp8"} if static is None else {"kind": "fp8", "scale": static}
    return Unreadable(f"how {scheme} quantizes activations is not simulated")


def left_out(facts: Facts) -> tuple[str, ...]:
    """What is quantized beside linear layers, which is not simulated."""
    found = facts.quantization.computations.items()
    return tuple(f"{part.replace('_', ' ')} in {', '.join(kinds)}" for part, kinds in found)


def _of_modelslim(layer: Layer, data: TensorData) -> Rule | Unreadable:
    scheme, module = layer.scheme, layer.module
    dynamic = _INTEGERS.fullmatch(scheme)
    if dynamic:
        return {"kind": "int", "bits": int(dynamic.group(1))}
    if scheme in _STATIC:
        scale = _number(f"{module}.input_scale", data)
        if scale is None:
            return Unreadable(f"{module} has no input_scale")
        offset = _number(f"{module}.input_offset", data) or 0.0
        return {"kind": "int", "bits": 8, "scale": scale, "offset": offset}
    if scheme in _MX:
        return dict(_MX[scheme])
    if scheme == "WFP8AFP8_DYNAMIC":
        return {"kind": "fp8"}
    return Unreadable(f"how {scheme} quantizes activations is not simulated")


def _of_arguments(layer: Layer, group: Mapping[str, Any], data: TensorData) -> Rule | Unreadable:
    """By compressed-tensors' arguments of input activations."""
    inputs = group.get("input_activations") or {}
    bits, kind = inputs.get("num_bits", 8), inputs.get("type", "int")
    strategy, size = inputs.get("strategy"), inputs.get("group_size")
    dynamic, symmetric = bool(inputs.get("dynamic")), inputs.get("symmetric", True)
    scale = _number(f"{layer.module}.input_scale", data)
    if kind == "float" and bits == 4 and strategy == "tensor_group":
        top = _number(f"{layer.module}.input_global_scale", data)
        if top is not None:
            return {"kind": "nvfp4", "scale": top}
    elif kind == "float" and size == 32:
        return {"kind": "mx", "bits": bits}
    elif kind == "float" and bits == 8:
        if dynamic and size:
            return {"kind": "fp8", "group": size}
        if dynamic and strategy == "token":
            return {"kind": "fp8"}
        if scale is not None:
            return {"kind": "fp8", "scale": scale}
    elif kind == "int" and dynamic and strategy in (None, "token") and symmetric:
        return {"kind": "int", "bits": bits}
    elif kind == "int" and not dynamic and scale is not None:
        offset = _number(f"{layer.module}.input_zero_point", data) or 0.0
        return {"kind": "int", "bits": bits, "scale": scale, "offset": offset}
    return Unreadable(f"how {layer.scheme} quantizes activations is not simulated")


def _number(name: str, data: TensorData) -> float | None:
    """A tensor of one number."""
    tensor = data.tensors.get(name)
    if tensor is None or tensor.elements != 1:
        return None
    return float(data.floats(name).reshape(-1)[0])
