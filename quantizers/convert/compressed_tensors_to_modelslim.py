"""compressed-tensors' INT8 as ModelSlim's W8A8_DYNAMIC, as msmodelslim 26.1.0 writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantizers.convert.plan import Conversion
from quantizers.convert.refusals import SCHEME, require_convertible
from registry.checkpoint.facts import Facts
from registry.checkpoint.quantization.layers import FLOAT

_VERSION = "1.0.0"  # of the description


def plan(facts: Facts) -> Conversion:
    """How a compressed-tensors checkpoint becomes one of ModelSlim.

    Offsets come in as zeros of the scales' type, as ModelSlim writes them for symmetric weights.

    Raises:
        IncompatibleError: it has no exact counterpart.
    """
    require_convertible(facts, "compressed-tensors", parts=("weight_scale",))
    checkpoint = facts.checkpoint
    quantized = {la.module for la in facts.quantization.layers if la.scheme == SCHEME}
    add = {
        f"{module}.weight_offset": checkpoint.tensors[f"{module}.weight_scale"]
        for module in sorted(quantized)
    }
    types = {}
    for name in checkpoint.tensors:
        module, _, leaf = name.rpartition(".")
        of_layer = module in quantized and leaf != "bias"
        types[name] = SCHEME if of_layer else FLOAT
        if of_layer and leaf == "weight_scale":
            types[f"{module}.weight_offset"] = SCHEME
    return Conversion(
        drop=frozenset(),
        add=add,
        config=_without_quantization(checkpoint.config),
        description={
            **types,
            "version": _VERSION,
            "model_quant_type": SCHEME,
            "metadata": {},
            "group_size": 0,
            "optional": {},
        },
        stem="quant_model_weights",
        single=False,
        stale=frozenset(checkpoint.index_paths),
    )


def _without_quantization(config: Mapping[str, Any]) -> dict[str, Any]:
    """config.json without its section, as ModelSlim leaves it: engines believe it more than all."""
    result = {k: v for k, v in config.items() if k not in _SECTIONS}
    text = result.get("text_config")
    if isinstance(text, Mapping):
        result["text_config"] = {k: v for k, v in text.items() if k not in _SECTIONS}
    return result


_SECTIONS = ("quantization_config", "compression_config")
