"""What is to be said of each output of the real quantizers in `tests.quantized`.

Judged from the tools' sources (msmodelslim 26.1.0, compressed-tensors 0.19.0) and from what vLLM
Ascend 0.23.0 does with such an artifact, not from what lint says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Schemes = Mapping[str, Mapping[str, int]]
Found = frozenset[tuple[str, str]]  # id, severity

# The parameters of the float models.
PARAMETERS = {
    "dense": 1_705_472,
    "dense-float16": 1_705_472,
    "dense-float32": 1_705_472,
    "dense-tied": 1_444_864,
    "moe": 2_496_000,
}
# The tools write modes 0400 and 0600, save_pretrained 0600 for weights.
_ALWAYS = frozenset({("file-mode", "warning")})


@dataclass(frozen=True)
class Expected:
    """What lint and the reader of metadata are to find.

    Attributes:
        schemes: the histogram of layers, with what is quantized beside them.
        findings: id and severity, beside those that all outputs have.
        method: of quantization.
        weights, activations: whether they are quantized symmetrically; None if nothing tells.
        added: parameters that the float model does not have.
    """

    schemes: Schemes
    findings: Found = frozenset()
    method: str = "modelslim"
    group_size: int | None = None
    weights: bool | None = None
    activations: bool | None = None
    rotated: bool = False
    tensor_parallel: int | None = None
    added: int = 0
    computations: Schemes = field(default_factory=dict)

    @property
    def all_findings(self) -> Found:
        return self.findings | _ALWAYS


def _dense(scheme: str, *findings: str, mlp: Mapping[str, int] | None = None, **more: Any) -> Any:
    """Two layers; `findings` as "severity id"."""
    mlp_layers = mlp or {scheme: 6}
    schemes = {"attention": {scheme: 8}, "lm_head": {"FLOAT": 1}, "mlp": mlp_layers}
    return Expected(schemes, _parse(findings), **more)


def _moe(attention: str, experts: str, *findings: str, **more: Any) -> Expected:
    """Two layers of eight experts."""
    layers = {"attention": {attention: 8}, "moe": {experts: 48}}
    floats = {"lm_head": {"FLOAT": 1}, "router": {"FLOAT": 2}}
    return Expected({**layers, **floats}, _parse(findings), **more)


def _parse(findings: tuple[str, ...]) -> Found:
    pairs = (finding.split(" ") for finding in findings)
    return frozenset((identifier, severity) for severity, identifier in pairs)


def _ct(scheme: str, *findings: str, activations: bool | None = True, **more: Any) -> Expected:
    """compressed-tensors, symmetric where nothing else is said."""
    more = {"weights": True, "activations": activations, "method": "compressed-tensors", **more}
    expected: Expected = _dense(scheme, *findings, **more)
    return expected


def _ct_moe(attention: str, experts: str, *findings: str, **more: Any) -> Expected:
    more = {"weights": True, "activations": True, "method": "compressed-tensors", **more}
    return _moe(attention, experts, *findings, **more)


_NO_TEMPLATE = "warning chat-template-missing"  # v0 and MindIE's saver copy .json and .py only
_MINDIE = ("error description-name", _NO_TEMPLATE)
_950 = "info scheme-unsupported"
_NOWHERE, _NOWHERE_CT = "error scheme-unsupported", "warning scheme-unsupported"
_W4A16: dict[str, Any] = {"group_size": 128, "activations": None}

_V1: dict[str, Expected] = {
    "w8a8": _dense("W8A8"),
    "w8a8-float16": _dense("W8A8", "warning float16"),
    # The head is written although it shares the embedding: 1,024 × 256 more.
    "w8a8-tied": _dense("W8A8", added=262_144),
    "w8a8-smooth": _dense("W8A8", mlp={"W8A8": 4, "FLOAT": 2}),
    "w8a8-dynamic": _dense("W8A8_DYNAMIC"),
    # get_perchannel_param makes scales of one column: the loader's assertion on shapes fails.
    "w8a8-dynamic-group": _dense("W8A8_DYNAMIC", "error group-size", group_size=128),
    "w8a8-mix": _dense("W8A8_MIX"),
    "w8a8-c8": _dense("W8A8", computations={"kv_cache": {"C8": 2}}),
    "w8a8-fa3": _dense("W8A8_DYNAMIC", computations={"flash_attention": {"INT8": 2}}),
    "w8a16": _dense("W8A16"),
    "w8a16-asym": _dense("W8A16"),
    "w8a16-group": _dense("W8A16", "error group-size", group_size=128),
    # w4a8.py divides the input channels of linear layers by group_size, which is 0.
    "w4a8-dynamic": _dense("W4A8_DYNAMIC", "error group-size", "info model-quant-type"),
    "w4a4-dynamic": _dense("W8A8_DYNAMIC", mlp={"W4A4_DYNAMIC": 4, "W8A8_DYNAMIC": 2}),
    "w4a4-dynamic-group": _dense("W4A4_DYNAMIC", "error group-size", group_size=64),
    "fp8-dynamic": _dense("WFP8AFP8_DYNAMIC", _NOWHERE),
    "mxfp8": _dense("W8A8_MXFP8", _950, group_size=32),
    "w4a8-mxfp": _dense("W4A8_MXFP", _950, group_size=32),
    "w4a4-mxfp4": _dense("W4A4_MXFP4", _950, group_size=32),
    "w4a4-mxfp4-dualscale": _dense("W4A4_MXFP4_DUALSCALE", _NOWHERE, group_size=32),
    "w4a4-mxfp4-svd": _dense(
        "W4A4_MXFP4",
        _NOWHERE,
        _950,
        mlp={"W4A4_MXFP4": 4, "W4A4_MXFP4_SVD": 2},
        group_size=32,
    ),
    "flatquant-mxfp4": _dense(
        "W4A4_MXFP4_FLATQUANT", _950, "info model-quant-type", group_size=32, rotated=True
    ),
    "flatquant-w4a4": _dense(
        "W4A4_FLATQUANT_DYNAMIC",
        _NOWHERE,
        "info model-quant-type",
        mlp={"W4A4_FLATQUANT_DYNAMIC": 4, "FLOAT_FLATQUANT": 2},
        rotated=True,
    ),
    "quarot": _dense("W8A8_DYNAMIC", rotated=True),
    # Nothing in vLLM Ascend reads heads_rotation and kronecker_rotation_*, and vLLM's loader for
    # Qwen passes over tensors that it has no parameter for: the outputs would be garbage.
    "quarot-online": _dense("W8A8_DYNAMIC", _NOWHERE, rotated=True),
    "w16a16s": _dense("W16A16S", _NOWHERE),
    "moe-w8a8": _moe("W8A8", "W8A8_DYNAMIC"),
    "moe-w4a8": _moe("W8A8_DYNAMIC", "W4A8_DYNAMIC", "info model-quant-type"),
    "mindie-w8a8": _dense("W8A8", *_MINDIE),
    "mindie-w8a8-dynamic": _dense("W8A8_DYNAMIC", *_MINDIE),
    "mindie-w4a4-mxfp4": _dense("W4A4_MXFP4", *_MINDIE, _950, group_size=32),
    "w8a8-two-savers": _dense("W8A8", "error duplicate-tensor"),
    "ct-dynamic": _ct("W8A8_DYNAMIC"),
    "ct-static": _ct("W8A8_ASYM", _NOWHERE_CT, activations=False),
    "ct-static-symmetric": _ct("W8A8_ASYM", _NOWHERE_CT, activations=False),
    "ct-moe": _ct_moe("FLOAT", "W8A8_DYNAMIC"),
}
_V0: dict[str, Expected] = {
    "w8a8": _dense("W8A8"),
    "w8a8-float16": _dense("W8A8", "warning float16"),
    "w8a8-mindie": _dense("W8A8", *_MINDIE),
    # deq_scale has one value; the loader takes a slice of as many as there are channels.
    "w8a8-per-tensor": _dense("W8A8", "error group-size"),
    # Biases of q, k, v, gate, up (1,536 a layer), and of all norms (640 a layer, 256 at the end).
    "w8a8-smooth": _dense("W8A8", added=4_608),
    # The same; weights and biases of the norms a second time, as `….module` (1,536 + 1,536).
    "w8a8-smooth-mindie": _dense("W8A8", *_MINDIE, added=7_680),
    "w8a8-parts": _dense("W8A8"),
    # vLLM's loader turns q_proj.tp_list.0.weight into a parameter that is not there: KeyError.
    "w8a8-tp": _dense("W8A8", "error tensor-parallel-layout", tensor_parallel=2),
    "w8a8-mix": _dense("W8A8_MIX"),
    "w8a8-dynamic": _dense("W8A8_DYNAMIC"),
    "w8a8-dynamic-mindie": _dense("W8A8_DYNAMIC", *_MINDIE),
    "w8a8s": _dense("W8A8S", "info scheme-unsupported"),
    "w8a8s-mindie": _dense("W8A8S", "info scheme-unsupported", *_MINDIE),
    "w8a16": _dense("W8A16"),
    "w8a16-mindie": _dense("W8A16", *_MINDIE),
    "w8a16-asym": _dense("W8A16"),
    "w8a16-group": _dense("W8A16", "error group-size", group_size=64),
    "w4a16": _dense("W4A16", _NOWHERE),
    "w4a16-group": _dense("W4A16", _NOWHERE, group_size=64),
    "nf4": _dense("NF4", _NOWHERE),
    "w4a8-dynamic-group": _dense("W4A8_DYNAMIC", group_size=64),
    "moe-w8a8": _moe("W8A8", "W8A8_DYNAMIC"),
}
_LLMCOMPRESSOR: dict[str, Expected] = {
    "int8": _ct("W8A8_DYNAMIC"),
    "int8-tied": _ct("W8A8_DYNAMIC"),
    # AscendCompressedTensorsConfig has no method for a head: its scale finds no parameter.
    "int8-head": _ct("W8A8_DYNAMIC", _NOWHERE_CT),
    "int8-shards": _ct("W8A8_DYNAMIC"),
    "int8-spinquant": _ct("W8A8_DYNAMIC", rotated=True),
    "w8a8-static": _ct("W8A8"),
    "w8a8-static-asym": _ct("W8A8_ASYM", _NOWHERE_CT, activations=False),
    "w4a16": _ct("W4A16", _NOWHERE_CT, **_W4A16),
    "w4a16-asym": _ct("W4A16_ASYM", _NOWHERE_CT, **_W4A16, weights=False),
    "w4a16-gptq": _ct("W4A16", _NOWHERE_CT, **_W4A16),
    "w8a16": _ct("W8A16_GROUP", _NOWHERE_CT, **_W4A16),
    "w4a8": _ct("W4A8_DYNAMIC", _NOWHERE_CT, group_size=128),
    "w4afp8": _ct("W4A8FP8_DYNAMIC", _NOWHERE_CT, group_size=128),
    "fp8": _ct("W8A8FP8_TENSOR", _NOWHERE_CT),
    "fp8-dynamic": _ct("W8A8FP8_DYNAMIC", _950),
    "fp8-dynamic-kv": _ct(
        "W8A8FP8_DYNAMIC", _950, _NOWHERE_CT, computations={"kv_cache": {"FP8": 2}}
    ),
    "fp8-block": _ct("W8A8FP8_BLOCK", _NOWHERE_CT),
    "kv": _ct(
        "FLOAT",
        _NOWHERE_CT,
        weights=None,
        activations=None,
        computations={"kv_cache": {"FP8": 2}},
    ),
    "nvfp4": _ct("W4A4_NVFP4", _NOWHERE_CT, group_size=16),
    "nvfp4a16": _ct("W4A16_NVFP4", _NOWHERE_CT, group_size=16, activations=None),
    "mxfp4": _ct("W4A4_MXFP4", _NOWHERE_CT, group_size=32),
    "mxfp4a16": _ct("W4A16_MXFP4", _NOWHERE_CT, group_size=32, activations=None),
    "mxfp8": _ct("W8A8_MXFP8", _NOWHERE_CT, group_size=32),
    "mxfp8a16": _ct("W8A16_MXFP8", _NOWHERE_CT, group_size=32, activations=None),
    "mixed": _ct("W8A8FP8_DYNAMIC", _950, _NOWHERE_CT, mlp={"W4A16": 6}, group_size=128),
    "sparse": _dense("FLOAT", method="none"),
    "moe-int8": _ct_moe("W8A8_DYNAMIC", "W8A8_DYNAMIC"),
    "moe-fp8-dynamic": _ct_moe("W8A8FP8_DYNAMIC", "W8A8FP8_DYNAMIC", _950),
    # Experts could run, but w4a16.py takes groups of 32 whatever the configuration says.
    "moe-w4a16": _ct_moe("W4A16", "W4A16", _NOWHERE_CT, "warning group-size", **_W4A16),
    "moe-nvfp4a16": _ct_moe(
        "W4A16_NVFP4", "W4A16_NVFP4", _NOWHERE_CT, group_size=16, activations=None
    ),
}


def _v0(expected: Expected) -> Expected:
    return replace(expected, findings=expected.findings | _parse((_NO_TEMPLATE,)))


def _untied(name: str, expected: Expected) -> Expected:
    """A model with tied embeddings has no head, unless ModelSlim writes one."""
    if name not in ("dense-tied", "llmcompressor-int8-tied"):
        if name == "llmcompressor-int8-head":
            return replace(expected, schemes={**expected.schemes, "lm_head": {"W8A8_DYNAMIC": 1}})
        return expected
    schemes = {kind: found for kind, found in expected.schemes.items() if kind != "lm_head"}
    return replace(expected, schemes=schemes)


EXPECTED: dict[str, Expected] = {
    name: _untied(name, expected)
    for name, expected in {
        **{name: _dense("FLOAT", method="none") for name in PARAMETERS if name != "moe"},
        "moe": _moe("FLOAT", "FLOAT", method="none"),
        **{f"modelslim-v1-{name}": expected for name, expected in _V1.items()},
        **{f"modelslim-v0-{name}": _v0(expected) for name, expected in _V0.items()},
        **{f"llmcompressor-{name}": expected for name, expected in _LLMCOMPRESSOR.items()},
    }.items()
}
