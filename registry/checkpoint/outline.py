"""A checkpoint's weights by kind: what planning needs of hundreds of thousands of tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from registry.checkpoint.architecture import Architecture
from registry.checkpoint.components import Components, is_quantization_part, kind_of, module_of
from registry.checkpoint.facts import Facts


class Kind(NamedTuple):
    """Tensors that are alike but for the numbers of layers and experts in their names.

    Attributes:
        name: with `*` for numbers, `model.layers.*.mlp.experts.*.up_proj.weight`.
        component: one of `components.COMPONENTS`; a scale counts to the layer that it belongs to.
        scheme: of the linear layer that it is part of; empty for other tensors.
        dtype: safetensors' name of the element type.
        tensors: how many there are.
        bytes: of all of them together.
    """

    name: str
    component: str
    scheme: str
    dtype: str
    tensors: int
    bytes: int


@dataclass(frozen=True)
class Outline:
    """What a checkpoint holds.

    Attributes:
        architecture: what config.json says.
        method: how it is quantized; see `Quantization.method`.
        schemes: layers by scheme, for each kind of layer.
        kinds: all weights.
        group_size: weights that share a scale; None without groups.
        tensor_parallel: the TP size that the layout is bound to; None if any.
        rotated: whether rotations are part of the model.
        shards: how many there are.
        shards_read: how many headers were read; where they are fewer, the others follow from
            config.json, and the sum agrees with the files' sizes.
    """

    architecture: Architecture
    method: str
    schemes: Mapping[str, Mapping[str, int]]
    kinds: tuple[Kind, ...]
    group_size: int | None = None
    tensor_parallel: int | None = None
    rotated: bool = False
    shards: int = 0
    shards_read: int = 0

    @property
    def weight_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(kind.bytes for kind in self.kinds)

    def by_component(self) -> dict[str, int]:
        """Bytes by component, largest first."""
        sizes: Counter[str] = Counter()
        for kind in self.kinds:
            sizes[kind.component] += kind.bytes
        return dict(sizes.most_common())


def outline_of(facts: Facts, times: Callable[[str], float] = lambda name: 1) -> Outline:
    """Gather a checkpoint's tensors by kind.

    Args:
        facts: of a checkpoint, or of some of its shards.
        times: how many tensors there are for the one of that name.
    """
    components = Components(facts.architecture.layers)
    schemes = {layer.module: layer.scheme for layer in facts.quantization.layers}
    found: dict[tuple[str, str, str, str], list[float]] = {}
    for name, tensor in facts.checkpoint.tensors.items():
        module = module_of(name)
        component = components.of(f"{module}.weight" if is_quantization_part(name) else name)
        key = (kind_of(name), component, schemes.get(module, ""), tensor.dtype)
        entry = found.setdefault(key, [0, 0])
        stands_for = times(name)
        entry[0] += stands_for
        entry[1] += stands_for * tensor.size
    counts: dict[str, dict[str, float]] = {}
    for layer in facts.quantization.layers:
        part = counts.setdefault("moe" if layer.component == "experts" else layer.component, {})
        part[layer.scheme] = part.get(layer.scheme, 0) + times(layer.tensor.name)
    whole = len(facts.checkpoint.header_sizes)
    return Outline(
        architecture=facts.architecture,
        method=facts.quantization.method,
        schemes={
            part: {s: round(n) for s, n in sorted(found.items(), key=lambda item: -item[1])}
            for part, found in sorted(counts.items())
        }
        | {part: dict(found) for part, found in facts.quantization.computations.items()},
        kinds=tuple(Kind(*key, round(count), round(size)) for key, (count, size) in found.items()),
        group_size=facts.quantization.group_size,
        tensor_parallel=facts.quantization.tensor_parallel,
        rotated=facts.quantization.rotated,
        shards=whole,
        shards_read=whole,
    )
