"""Schemes that few artifacts have: eight-bit caches, MX formats, four-bit experts, W8A8SC.

Keys and tensors are those that msmodelslim 26.1.0 writes and vLLM Ascend 0.23 reads; four-bit
experts are as Kimi K2 Thinking is published.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from tests.twins.parts import Part
from tests.twins.schemes import SCHEMES, Scheme, Stored, is_special
from tests.twins.schemes import stored as usual

_MX_GROUP, _EXPERT_GROUP = 32, 32
# Sparse attention (DSA) keeps its latent vectors and its indexer's keys in eight bits.
_C8 = {"fa_quant_type": "FAKQuant", "indexer_quant_type": "INT8_DYNAMIC"}


def _all(scheme: str) -> Callable[[Part], str]:
    return lambda part: "FLOAT" if is_special(part) else scheme


def _experts_only(part: Part) -> str:
    return "W4A16" if ".experts." in part.name else "FLOAT"


def _compressed(part: Part) -> str:
    return "FLOAT" if is_special(part) else "W8A8SC"


_MODELSLIM = {"version": "1.0.0", "metadata": {}, "optional": {}, "group_size": 0}
RARE: Mapping[str, Scheme] = {
    "W8A8C8": replace(SCHEMES["W8A8"], keys={**SCHEMES["W8A8"].keys, **_C8}),
    "W4A8C8": replace(SCHEMES["W4A8"], keys={**SCHEMES["W4A8"].keys, **_C8}),
    "W8A8_MXFP8": Scheme(
        _all("W8A8_MXFP8"),
        keys={**_MODELSLIM, "model_quant_type": "W8A8_MXFP8", "group_size": _MX_GROUP},
    ),
    "W4A4_MXFP4": Scheme(
        _all("W4A4_MXFP4"),
        keys={**_MODELSLIM, "model_quant_type": "W4A4_MXFP4", "group_size": _MX_GROUP},
    ),
    "W8A16": Scheme(_all("W8A16"), keys={**_MODELSLIM, "model_quant_type": "W8A16"}),
    "W8A8SC": Scheme(_compressed, keys={**_MODELSLIM, "model_quant_type": "W8A8SC"}),
    "W4A16": Scheme(
        _experts_only,
        description=False,
        shard_name="model",
        config={
            "quantization_config": {
                "quant_method": "compressed-tensors",
                "format": "pack-quantized",
                "ignore": ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*",
                           "re:.*mlp\\.(gate|up|gate_up|down)_proj.*", "re:.*mlp\\.gate$"],
                "config_groups": {
                    "group_0": {
                        "targets": ["Linear"],
                        "weights": {
                            "num_bits": 4,
                            "type": "int",
                            "strategy": "group",
                            "group_size": _EXPERT_GROUP,
                            "symmetric": True,
                        },
                        "input_activations": None,
                    }
                },
            }
        },
    ),
}  # fmt: skip


def stored(part: Part, scheme: str) -> Iterator[Stored]:
    """The tensors of a linear layer in a scheme, usual or rare."""
    rows, columns = part.shape
    if scheme == "W8A8_MXFP8":
        yield "weight", "F8_E4M3", part.shape
        yield "weight_scale", "U8", (rows, -(-columns // _MX_GROUP))
    elif scheme == "W4A4_MXFP4":
        yield "weight", "U8", (rows, columns // 2)
        yield "weight_scale", "U8", (rows, -(-columns // _MX_GROUP))
    elif scheme == "W4A16":
        yield "weight_packed", "I32", (rows, columns // 8)
        yield "weight_scale", "BF16", (rows, columns // _EXPERT_GROUP)
        yield "weight_shape", "I64", (2,)
    elif scheme == "W8A8SC":  # compressed vectors; how short they get depends on the values
        yield "weight", "I8", (rows * columns,)
        yield "index", "I8", (8,)
        yield "info", "I64", (5,)
        yield "quant_bias", "I32", (rows,)
        yield "deq_scale", "I64", (rows,)
        yield "input_scale", "F16", (1,)
        yield "input_offset", "I8", (1,)
    else:
        yield from usual(part, scheme)
