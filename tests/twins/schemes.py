"""How a quantizer stores each linear layer: the tensors of a scheme, and who gets which scheme.

Tensors and dtypes are those that msmodelslim 26.1.0 and llmcompressor 0.14 write for bfloat16
models; the mixtures are those of vLLM Ascend's published artifacts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.twins.parts import Part

Stored = tuple[str, str, tuple[int, ...]]  # suffix, dtype, shape


@dataclass(frozen=True)
class Scheme:
    """A recipe for a whole model.

    Attributes:
        scheme_of: the type of a linear layer; `FLOAT` leaves it as it is.
        description: whether ModelSlim's description is written.
        shard_name: prefix of the shards.
        keys: of the description that are no tensors.
        config: added to config.json.
    """

    scheme_of: Callable[[Part], str]
    description: bool = True
    shard_name: str = "quant_model_weights"
    keys: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)


def stored(part: Part, scheme: str) -> Iterator[Stored]:
    """The tensors of a linear layer in a scheme."""
    rows, columns = part.shape
    if scheme == "FLOAT":
        yield "weight", part.dtype, part.shape
    elif scheme in ("W8A8", "W8A8_MIX"):
        yield "weight", "I8", part.shape
        yield "quant_bias", "I32", (rows,)
        yield "input_scale", "F32", (1,)
        yield "input_offset", "F32", (1,)
        yield "deq_scale", "F32", (rows,)
    if scheme in ("W8A8_DYNAMIC", "W8A16", "W8A8_MIX"):
        if scheme != "W8A8_MIX":
            yield "weight", "I8", part.shape
        yield "weight_scale", "F32", (rows, 1)
        yield "weight_offset", "F32", (rows, 1)
    elif scheme == "W4A8_DYNAMIC":
        row_parallel = part.name.endswith(("o_proj", "down_proj", "w2"))
        yield "weight", "I8", (rows // 2, columns)
        yield "weight_scale", "F32", (rows, 1)
        yield "weight_offset", "F32", (rows, 1)
        yield "scale_bias", "F32", (rows, 16 if row_parallel else 1)
    elif scheme == "INT8":  # compressed-tensors
        yield "weight", "I8", part.shape
        yield "weight_scale", "BF16", (rows, 1)
    elif scheme == "FP8_BLOCK":  # as DeepSeek publishes its models
        yield "weight", "F8_E4M3", part.shape
        yield "weight_scale_inv", "F32", (-(-rows // 128), -(-columns // 128))


_NEVER = (
    "lm_head", ".gate", "_gate", "kv_b_proj", "weights_proj", "in_proj_a", "in_proj_b",
    # DeepSeek V4, by msmodelslim's recipes for it
    "wo_a", "wo_b", "compressor.wkv", "compressor.wgate", ".e_proj", ".h_proj",
)  # fmt: skip


def is_special(part: Part) -> bool:
    """What no recipe quantizes: head, router, gates, MTP, vision, and what MLA absorbs."""
    return (
        part.name.endswith(_NEVER)
        or part.name == "head"
        or "visual" in part.name
        or ("mtp." in part.name and ".ffn." not in part.name and ".attn." not in part.name)
        or ".eh_proj" in part.name
        or "shared_head" in part.name
    )


def _mixture(part: Part) -> str:
    """Attention calibrated, everything else per token: the guide's W8A8 for MoE models."""
    if is_special(part):
        return "FLOAT"
    return "W8A8" if "_attn" in part.name else "W8A8_DYNAMIC"


def _dynamic(part: Part) -> str:
    return "FLOAT" if is_special(part) else "W8A8_DYNAMIC"


def _w4a8(part: Part) -> str:
    return "W4A8_DYNAMIC" if ".experts." in part.name else _dynamic(part)


def _int8(part: Part) -> str:
    return "FLOAT" if is_special(part) else "INT8"


def _fp8(part: Part) -> str:
    return "FLOAT" if part.name.endswith(("lm_head", ".gate", "eh_proj", ".head")) else "FP8_BLOCK"


_V1 = {"version": "1.0.0", "metadata": {}, "optional": {}}
_INT8_GROUP = {
    "targets": ["Linear"],
    "weights": {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True},
    "input_activations": {
        "num_bits": 8,
        "type": "int",
        "strategy": "token",
        "dynamic": True,
        "symmetric": True,
    },
}
_IGNORED = [
    "lm_head", "re:.*\\.gate$", "re:.*_gate$", "re:.*kv_b_proj$", "re:.*weights_proj$",
    "re:.*in_proj_[ab]$", "re:.*visual.*", "re:.*mtp\\..*", "re:.*eh_proj$", "re:.*shared_head.*",
]  # fmt: skip
SCHEMES: Mapping[str, Scheme] = {
    "FLOAT": Scheme(lambda part: "FLOAT", description=False, shard_name="model"),
    "W8A8": Scheme(_mixture, keys={**_V1, "model_quant_type": "W8A8", "group_size": 0}),
    "W8A8_DYNAMIC": Scheme(
        _dynamic, keys={**_V1, "model_quant_type": "W8A8_DYNAMIC", "group_size": 0}
    ),
    "W4A8": Scheme(_w4a8, keys={**_V1, "model_quant_type": "W8A8_DYNAMIC", "group_size": 0}),
    "INT8": Scheme(
        _int8,
        description=False,
        shard_name="model",
        config={
            "quantization_config": {
                "quant_method": "compressed-tensors",
                "format": "int-quantized",
                "ignore": _IGNORED,
                "config_groups": {"group_0": _INT8_GROUP},
            }
        },
    ),
    "FP8": Scheme(
        _fp8,
        description=False,
        shard_name="model",
        config={
            "quantization_config": {
                "quant_method": "fp8",
                "activation_scheme": "dynamic",
                "fmt": "e4m3",
                "weight_block_size": [128, 128],
            }
        },
    ),
}
