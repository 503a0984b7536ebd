"""ModelSlim's W8A8_DYNAMIC as compressed-tensors' INT8, as LLM-Compressor 0.14 writes it."""

from __future__ import annotations

from typing import Any

from quantizers.convert.plan import Conversion
from quantizers.convert.refusals import SCHEME, require_convertible
from registry.checkpoint.facts import Facts
from registry.checkpoint.quantization.layers import FLOAT

_INT8: dict[str, Any] = {
    "actorder": None,
    "block_structure": None,
    "dynamic": False,
    "group_size": None,
    "num_bits": 8,
    "observer": None,
    "observer_kwargs": {},
    "scale_dtype": None,
    "strategy": "channel",
    "symmetric": True,
    "type": "int",
    "zp_dtype": None,
}
VERSION = "0.19.0"  # of compressed-tensors, whose keys these are
_TIED = "lm_head"


def plan(facts: Facts) -> Conversion:
    """How a ModelSlim checkpoint becomes one of compressed-tensors.

    The scales keep their type: ModelSlim writes float32 or the model's, and readers of
    compressed-tensors take either.

    Raises:
        IncompatibleError: it has no exact counterpart.
    """
    require_convertible(facts, "modelslim", parts=("weight_scale", "weight_offset"))
    checkpoint, layers = facts.checkpoint, facts.quantization.layers
    quantized = {layer.module for layer in layers if layer.scheme == SCHEME}
    offsets = {f"{module}.weight_offset" for module in quantized} & checkpoint.tensors.keys()
    ignored = [layer.module for layer in layers if layer.scheme == FLOAT]
    # Tied to the embedding it has no weights, and engines ask for it all the same.
    if _TIED not in quantized and _TIED not in ignored:
        ignored.append(_TIED)
    description = checkpoint.description_path
    return Conversion(
        drop=frozenset(offsets),
        add={},
        config={**checkpoint.config, "quantization_config": quantization_config(ignored)},
        description=None,
        stem="model",
        single=True,
        stale=frozenset((*checkpoint.index_paths, *([description] if description else ()))),
    )


def quantization_config(ignored: list[str]) -> dict[str, Any]:
    """What config.json says of weights with a scale a channel and activations with one a token.

    Args:
        ignored: modules that stay in floating point.
    """
    return {
        "config_groups": {
            "group_0": {
                "format": "int-quantized",
                "input_activations": {**_INT8, "dynamic": True, "strategy": "token"},
                "output_activations": None,
                "targets": ["Linear"],
                "weights": dict(_INT8),
            }
        },
        "format": "int-quantized",
        "global_compression_ratio": None,
        "ignore": ignored,
        "kv_cache_scheme": None,
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
        "sparsity_config": {},
        "transform_config": {},
        "version": VERSION,
    }
