"""What an artifact shall run on: the schemes and methods that vLLM Ascend has kernels for.

The tables are those of vLLM Ascend 0.23.0: its scheme registry (`register_scheme` in
`vllm_ascend/quantization/methods` and `vllm_ascend/_310p/quantization/methods`), the conditions of
`compressed_tensors_config.py`, and `modelslim_config.py`'s table of packed modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

GIB = 2**30
RELEASE = "0.23.0"


@dataclass(frozen=True)
class Chip:
    """A kind of NPU.

    Attributes:
        name: as users say it.
        linear, moe, attention: schemes that it has kernels for.
        methods: quantization methods that the release takes there.
        memory: bytes that torch sees on one device.
        devices: of the largest usual node.
    """

    name: str
    linear: frozenset[str]
    moe: frozenset[str]
    attention: frozenset[str]
    methods: frozenset[str]
    memory: int
    devices: int


@dataclass(frozen=True)
class Target:
    """A chip and the parallelism on it; every part may be left open.

    Attributes:
        chip: None stands for any.
        tensor_parallel: ranks that share each layer.
        data_parallel: replicas of attention; routed experts are spread over all ranks.
    """

    chip: Chip | None = None
    tensor_parallel: int | None = None
    data_parallel: int = 1

    @property
    def candidates(self) -> tuple[Chip, ...]:
        """The chips that it may be."""
        return (self.chip,) if self.chip else tuple(CHIPS.values())


_INT_LINEAR = frozenset(
    {
        "W8A8", "W8A8_DYNAMIC", "W8A8_MIX", "W8A16", "W4A8_DYNAMIC", "W4A4_DYNAMIC",
        "W4A4_FLATQUANT_DYNAMIC",
    }
)  # fmt: skip
_INT_MOE = frozenset({"W8A8_DYNAMIC", "W8A8_MIX", "W4A8_DYNAMIC", "W4A16"})
# Number formats that only the 950 computes with.
_FLOAT_LINEAR = frozenset(
    {"W8A8FP8_DYNAMIC", "W8A8_MXFP8", "W4A8_MXFP", "W4A4_MXFP4", "W4A4_MXFP4_FLATQUANT"}
)
_FLOAT_MOE = frozenset({"W4A16_MXFP4", "W8A8FP8_DYNAMIC", "W8A8_MXFP8", "W4A8_MXFP", "W4A4_MXFP4"})
_ATTENTION = frozenset({"FAKQuant", "INT8_DYNAMIC", "C8"})
_METHODS = frozenset({"none", "modelslim", "compressed-tensors"})
# A 64 GB NPU reports 60.96 GiB to torch; of a 310P chip about 21.5 GB are usable.
_LARGE, _SMALL = int(60.96 * GIB), int(21.5e9)
CHIPS: Mapping[str, Chip] = {
    "A2": Chip("A2", _INT_LINEAR, _INT_MOE, _ATTENTION, _METHODS, _LARGE, 8),
    "A3": Chip("A3", _INT_LINEAR, _INT_MOE, _ATTENTION, _METHODS, _LARGE, 16),
    "310P": Chip(
        "310P",
        frozenset({"W8A8", "W8A8_DYNAMIC", "W8A8S", "W8A8SC"}),
        frozenset({"W8A8_DYNAMIC"}),
        frozenset(),
        _METHODS - {"compressed-tensors"},
        _SMALL,
        8,
    ),
    "950": Chip(
        "950",
        _INT_LINEAR | _FLOAT_LINEAR,
        _INT_MOE | _FLOAT_MOE,
        _ATTENTION,
        _METHODS | {"fp8"},
        _LARGE,
        8,
    ),
}
# compressed-tensors' schemes that become one of the above; W4A8's linear kernel is written for
# ModelSlim's layout alone (quantization/methods/w4a8.py).
COMPRESSED_TENSORS_LINEAR = frozenset({"W8A8_DYNAMIC", "W8A8", "W8A8FP8_DYNAMIC"})
COMPRESSED_TENSORS_MOE = frozenset({"W8A8_DYNAMIC", "W8A8FP8_DYNAMIC", "W4A8_DYNAMIC", "W4A16"})
# Model types whose experts ModelSlim artifacts can be loaded for.
PACKED_MOE_TYPES = frozenset(
    {
        "qwen3_moe", "qwen3_5_moe", "deepseek_v2", "deepseek_v3", "deepseek_v4", "deepseek_v32",
        "pangu_ultra_moe", "kimi_k2", "kimi_k25", "glm_moe_dsa", "qwen3_next", "qwen3_vl_moe",
        "glm4_moe", "glm4_moe_lite", "glm4v_moe", "glm4v_moe_text", "longcat_flash", "minimax_m2",
        "qwen3_omni_moe", "bailing_hybrid", "step3p5",
    }
)  # fmt: skip
# What is quantized beside weights, in a histogram of schemes.
COMPUTATIONS = frozenset({"kv_cache", "flash_attention", "indexer"})


def has_kernel(scheme: str, kind: str, method: str, chip: Chip) -> bool:
    """Whether a chip has what a scheme needs.

    Args:
        scheme: in ModelSlim's vocabulary, `W8A8_DYNAMIC`.
        kind: of layer, as a histogram of schemes has them (`moe` for routed experts), or one of
            COMPUTATIONS.
        method: `modelslim`, `compressed-tensors`, …
        chip: the NPU.
    """
    if kind in COMPUTATIONS:
        # Dynamic and static FAQuant types of layers are read as one FAKQuant.
        known = chip.attention | ({"INT8"} if chip.attention else set())
        return method in chip.methods and scheme in known
    if method == "compressed-tensors":
        known = COMPRESSED_TENSORS_MOE if kind == "moe" else COMPRESSED_TENSORS_LINEAR
        if scheme not in known or kind == "lm_head":  # get_quant_method has none for it
            return False
    table = chip.moe if kind == "moe" else chip.linear | (chip.moe if kind == "mtp" else set())
    return scheme in table and method in chip.methods
