"""ModelSlim's quantization description, in its three layouts.

`quant_model_description.json` maps every tensor's name to its type, among keys that are no tensors
(msmodelslim 26.1.0: `core/quant_service/modelslim_v1/save/ascendv1.py`, `mindie_format.py`,
`pytorch/llm_ptq/llm_ptq_tools/llm_ptq_utils.py`). `model_quant_type` is the type of some layers
only, or plainly wrong, so that the per-tensor types alone decide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from registry.checkpoint.checkpoint import Checkpoint
from registry.checkpoint.components import TP_SLICES, Components, kind_of
from registry.checkpoint.quantization.layers import (
    FLOAT,
    UNKNOWN,
    Quantization,
    linear_layers,
)
from registry.checkpoint.quantization.packing import measured_group_size
from registry.checkpoint.safetensors import Tensor
from registry.names import printable

STANDARD_NAME = "quant_model_description.json"
# Keys of the description that are no tensors.
KEYS = frozenset(
    {
        "version", "model_quant_type", "metadata", "group_size", "optional", "kv_cache_type",
        "kv_quant_type", "fa_quant_type", "reduce_quant_type", "indexer_quant_type",
        "is_rot_used", "max_supported_tp", "quant_method",
    }
)  # fmt: skip
# Types that are given to a module, not to a tensor: `….self_attn.quant_type`.
_MODULE_TYPE = ".quant_type"
_FIRST_PARTS = {".qkv_proj.": ".q_proj.", ".gate_up_proj.": ".gate_proj."}
_TEXT = frozenset({str})


def described_tensors(description: Mapping[str, Any]) -> dict[str, str]:
    """The types of the tensors that a description names; what is no text counts as UNKNOWN."""
    described = dict(description)
    others = [n for n in description if "quant_type" in n and n.endswith(_MODULE_TYPE)]
    for name in (*others, *(KEYS & description.keys())):
        del described[name]
    if not _TEXT.issuperset(map(type, described.values())):
        return {n: kind if isinstance(kind, str) else UNKNOWN for n, kind in described.items()}
    return described


def read_modelslim(
    checkpoint: Checkpoint, components: Components, layers: int | None
) -> Quantization:
    """Read the description of a checkpoint that has one.

    Args:
        checkpoint: with its description.
        components: names the parts of this model.
        layers: of the model, for what holds for all of them.
    """
    description = checkpoint.description or {}
    found = linear_layers(
        checkpoint.tensors.values(), components, lambda tensor: _type_of(tensor, description)
    )
    return Quantization(
        method="modelslim",
        format=_format(checkpoint.description_path or STANDARD_NAME, description),
        layers=found,
        computations=_computations(description, layers),
        group_size=measured_group_size(found, checkpoint.tensors)
        or _positive(description.get("group_size")),
        symmetric={"weights": None, "activations": None},
        ignored=tuple(sorted({kind_of(layer.module) for layer in found if layer.scheme == FLOAT})),
        declared=_text(description.get("model_quant_type")),
        tensor_parallel=_tensor_parallel(checkpoint, description),
        rotated=_rotated(checkpoint, description),
    )


def _type_of(tensor: Tensor, description: Mapping[str, Any]) -> str:
    kind = description.get(tensor.name)
    if type(kind) is str:
        return _shown(kind)
    if kind is None and tensor.name.endswith("weight_packed"):
        kind = description.get(tensor.name.removesuffix("_packed"))
    if kind is None:  # the engine's own layout fuses layers that the description names apart
        for fused, first in _FIRST_PARTS.items():
            if fused in tensor.name:
                kind = description.get(tensor.name.replace(fused, first))
    return _shown(kind) if isinstance(kind, str) else UNKNOWN


@lru_cache(maxsize=1024)
def _shown(kind: str) -> str:
    return printable(kind)


def _format(path: str, description: Mapping[str, Any]) -> str:
    version = _text(description.get("version"))
    if path != STANDARD_NAME:
        return "mindie_format"
    # The first v1 savers and v0's ascendV1 both write a version; older ones write none.
    return f"ascendV1 {version}" if version else "ascendV1"


def _computations(description: Mapping[str, Any], layers: int | None) -> dict[str, dict[str, int]]:
    """What is quantized beside weights: the KV cache, flash attention, the sparse indexer."""
    result: dict[str, dict[str, int]] = {}
    # A description has hundreds of thousands of keys; few are about computations.
    rare = [n for n in description if "quant_type" in n or "cache_scale" in n or "fa_k" in n]
    cached = sum(1 for name in rare if name.endswith("k_proj.kv_cache_scale"))
    declared = _text(description.get("kv_cache_type")) or _text(description.get("kv_quant_type"))
    if declared or cached:
        result["kv_cache"] = {declared or "C8": cached or layers or 0}
    per_module: dict[str, Counter[str]] = {}
    for name in rare:
        kind = description[name]
        if name.endswith(_MODULE_TYPE) and isinstance(kind, str):
            part = "indexer" if name.endswith(f".indexer{_MODULE_TYPE}") else "flash_attention"
            per_module.setdefault(part, Counter())[_shown(kind)] += 1
    for part, counts in per_module.items():
        result[part] = dict(counts.most_common())
    for part, key in (("flash_attention", "fa_quant_type"), ("indexer", "indexer_quant_type")):
        named = _text(description.get(key))
        if named and part not in result:
            scaled = sum(1 for name in rare if name.endswith("fa_k.scale"))
            result[part] = {named: scaled or layers or 0}
    return result


def _tensor_parallel(checkpoint: Checkpoint, description: Mapping[str, Any]) -> int | None:
    """The TP size that slices were stored for, or that must not be exceeded."""
    slices = {
        name.partition(TP_SLICES)[2].partition(".")[0]
        for name in checkpoint.tensors
        if TP_SLICES in name
    }
    return checkpoint.ranks or len(slices) or _positive(description.get("max_supported_tp"))


def _rotated(checkpoint: Checkpoint, description: Mapping[str, Any]) -> bool:
    optional, metadata = description.get("optional"), description.get("metadata")
    return (
        bool(description.get("is_rot_used"))
        or (isinstance(optional, Mapping) and "quarot" in optional)
        or (isinstance(metadata, Mapping) and "quarot" in metadata)
        or any("rotation" in name or "_trans" in name for name in checkpoint.tensors)
    )


def _text(value: Any) -> str | None:
    return printable(value) if isinstance(value, str) and value else None


def _positive(value: Any) -> int | None:
    return value if type(value) is int and value > 0 else None
