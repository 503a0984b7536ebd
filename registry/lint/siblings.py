"""What layers have in common, so that what one of them lacks shows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field

from registry.checkpoint.components import is_quantization_part, layer_of
from registry.lint.subject import Subject

# Where one of a group is, the others are: attention of all families here, gated MLPs, MLA.
_TOGETHER = (
    frozenset({"q_proj", "k_proj", "v_proj", "o_proj"}),
    frozenset({"gate_proj", "up_proj", "down_proj"}),
    frozenset({"w1", "w2", "w3"}),
    frozenset({"q_a_proj", "q_b_proj"}),
    frozenset({"kv_a_proj_with_mqa", "kv_b_proj", "o_proj"}),
)
_WEIGHTS = ("weight", "weight_packed", "qweight")
_FEED_FORWARD = frozenset({"mlp", "ffn", "feed_forward", "block_sparse_moe", "moe"})
# What config.json says of each layer's attention, one entry a layer.
_KINDS = ("layer_types", "compress_ratios")


def gaps_of_groups(groups: Mapping[str, set[str]]) -> Iterator[str]:
    """Linear layers that are missing beside those that go with them.

    Args:
        groups: the last parts of layers' names, by what stands before.
    """
    for parent, leaves in groups.items():
        for together in _TOGETHER:
            # MLA has an o_proj, too, and no q_proj beside its own two.
            mla = "kv_a_proj_with_mqa" in leaves and "q_proj" in together
            if not mla and leaves & together and "qkv_proj" not in leaves:
                if together == _TOGETHER[4] and "kv_a_proj_with_mqa" not in leaves:
                    continue
                yield from (f"{parent}.{leaf}" for leaf in sorted(together - leaves))


@dataclass
class _Layer:
    """A decoder layer.

    Attributes:
        name: what the names of its tensors begin with, `model.layers.0.`.
        number: of the layer.
        modules: its linear layers but for routed experts, by the rest of their names.
        tensors: all others, but for parts of quantization and the biases of linear layers.
        biases: linear layers that have one.
    """

    name: str
    number: int
    modules: set[str] = field(default_factory=set)
    tensors: set[str] = field(default_factory=set)
    biases: set[str] = field(default_factory=set)

    @property
    def attention(self) -> frozenset[str]:
        """What holds linear layers, but for the feed-forward part: `self_attn`."""
        return frozenset({name.partition(".")[0] for name in self.modules} - _FEED_FORWARD)


def missing_in_one(subject: Subject) -> Iterator[str]:
    """Modules and tensors that a single layer lacks of all layers of its kind.

    Layers are held against those with the same kind of attention, and for their feed-forward parts
    against those that have, or have not, experts. What two layers lack may well be meant so.
    """
    groups: dict[Hashable, list[tuple[str, set[str]]]] = defaultdict(list)
    layers = _decoder_layers(subject)
    experts = {x.number for x in subject.quantization.layers if x.component == "experts"}
    kinds = {layer.attention for layer in layers if layer.attention}
    usual = next(iter(kinds)) if len(kinds) == 1 else frozenset()
    said = [value for key in _KINDS if isinstance(value := _said(subject, key), list)]
    for layer in layers:
        parts = layer.modules | layer.tensors
        inner = {part for part in parts if part.partition(".")[0] in _FEED_FORWARD}
        hashed = any("tid2eid" in part for part in inner)  # DeepSeek V4's first layers
        groups["feed-forward", layer.number in experts, hashed].append((layer.name, inner))
        # A layer that lost all of its attention is of the kind that all others are of.
        kind = (layer.attention or usual, *_of(layer.number, said))
        groups["attention", kind].append((layer.name, parts - inner))
        for module in layer.modules:
            # Static quantization folds the bias into another tensor.
            scheme = subject.layers[layer.name + module].scheme
            bias = {f"{module}.bias"} if module in layer.biases else set()
            groups["bias", module, kind, hashed, scheme].append((layer.name, bias))
    for members in groups.values():
        counts = Counter(part for _, parts in members for part in parts)
        for lost in sorted(part for part, count in counts.items() if count == len(members) - 1):
            yield from (name + lost for name, parts in members if lost not in parts)


def _said(subject: Subject, key: str) -> object:
    return subject.checkpoint.text_config.get(key)


def _of(number: int, lists: list[list[object]]) -> tuple[str, ...]:
    return tuple(str(values[number])[:64] for values in lists if number < len(values))


def _decoder_layers(subject: Subject) -> list[_Layer]:
    found: dict[str, _Layer] = {}
    linear, last = subject.layers, subject.architecture.layers
    for name in subject.checkpoint.tensors:
        if ".experts." in name or is_quantization_part(name):
            continue
        number = layer_of(name)
        if number is None or (last is not None and number >= last):
            continue
        end = name.find(".", name.find("layers.") + len("layers.")) + 1
        layer = found.setdefault(name[:end], _Layer(name[:end], number))
        module, _, leaf = name.rpartition(".")
        if leaf in _WEIGHTS and module in linear:
            layer.modules.add(module[end:])
        elif leaf == "bias" and module in linear:
            layer.biases.add(module[end:])
        else:
            layer.tensors.add(name[end:])
    return list(found.values())
