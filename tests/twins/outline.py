"""Outlines of twins in memory, without files: one expert stands for all that are alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

from registry.checkpoint.architecture import read_architecture
from registry.checkpoint.checkpoint import Checkpoint
from registry.checkpoint.components import Components
from registry.checkpoint.facts import read_facts
from registry.checkpoint.outline import Outline, outline_of
from registry.checkpoint.quantization.modelslim import STANDARD_NAME
from registry.checkpoint.safetensors import DTYPE_BITS, Tensor
from tests.twins.modules import parts_of
from tests.twins.parts import Part
from tests.twins.rare import stored
from tests.twins.schemes import Scheme

_SHARD = "model.safetensors"
_EXPERT = re.compile(r"\.experts\.(\d+)\.")


def outline_twin(
    config: Mapping[str, Any],
    recipe: Scheme,
    *,
    ranks: int = 0,
    mtp: bool = True,
    change: Callable[[dict[str, Any]], None] | None = None,
) -> tuple[Outline, Mapping[str, Any]]:
    """What planning knows of a model in a scheme.

    Args:
        config: the float model's config.json.
        recipe: who gets which scheme.
        ranks: tensor parallel ranks that the artifact is bound to; then a rank's tensors count.
        mtp: whether the weights of MTP layers are there.
        change: spoils the description.

    Returns:
        The outline, and config.json.
    """
    config = {**config, **recipe.config}
    architecture = read_architecture(config)
    components = Components(architecture.layers)
    experts = architecture.experts or 1
    tensors: dict[str, Tensor] = {}
    described: dict[str, Any] = dict(recipe.keys)
    for part in parts_of(config):
        number = _EXPERT.search(f"{part.name}.")
        if number and number[1] != "0":
            continue
        if not mtp and components.of(f"{part.name}.weight") == "mtp":
            continue
        scheme = recipe.scheme_of(part) if part.linear else "FLOAT"
        for name, dtype, shape in _tensors_of(part, scheme):
            size = prod(shape) * DTYPE_BITS[dtype] // 8
            if ranks and part.linear:
                shape = (shape[0] // ranks, *shape[1:]) if shape[0] >= ranks else shape
                size = prod(shape) * DTYPE_BITS[dtype] // 8
            tensors[name] = Tensor(name, dtype, shape, size, _SHARD)
            described[name] = scheme
    if change:
        change(described)
    checkpoint = Checkpoint(
        label="a twin",
        entries=(),
        config=config,
        tensors=tensors,
        header_sizes={_SHARD: 8},
        description=described if recipe.description else None,
        description_path=STANDARD_NAME if recipe.description else None,
        ranks=ranks,
    )
    facts = read_facts(checkpoint)
    return outline_of(facts, lambda name: experts if _EXPERT.search(name) else 1), config


def _tensors_of(part: Part, scheme: str) -> list[tuple[str, str, tuple[int, ...]]]:
    if not part.linear:
        return [(part.name, part.dtype, part.shape)]
    return [
        (f"{part.name}.{suffix}", dtype, shape) for suffix, dtype, shape in stored(part, scheme)
    ]
