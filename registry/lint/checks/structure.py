"""Checks of layers against each other and against config.json: modules and shapes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from registry.checkpoint.components import layer_of
from registry.checkpoint.quantization.layers import FLOAT, Layer
from registry.finding import ERROR
from registry.lint.check import ASCEND, Found, check, some
from registry.lint.siblings import gaps_of_groups, missing_in_one
from registry.lint.subject import Subject

_NORMS = ("input_layernorm.weight", "post_attention_layernorm.weight")
_TAKE_HIDDEN = (
    "q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "q_a_proj", "kv_a_proj_with_mqa", "w1",
    "w3",
)  # fmt: skip
_GIVE_HIDDEN = ("o_proj", "down_proj", "w2")
# Keys of config.json that are whole numbers above zero in every model.
_POSITIVE = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
    "vocab_size", "max_position_embeddings",
)  # fmt: skip


@check(
    "modules-missing",
    ERROR,
    prevents="The engine leaves these weights at random values, or stops at the end of loading.",
    seen=f"{ASCEND}8367; interrupted copies",
    fix="Copy the missing shards, or quantize again.",
)
def modules_missing(subject: Subject) -> Iterator[Found]:
    if subject.architecture.family is None or subject.checkpoint.faults or subject.checkpoint.ranks:
        return
    missing = [
        *_incomplete_groups(subject),
        *_missing_norms(subject),
        *_missing_routers(subject),
        *missing_in_one(subject),
    ]
    missing = list(dict.fromkeys(missing))
    if missing:
        yield Found(f"There is no {some(missing, 'such modules')}", missing[0])


def _incomplete_groups(subject: Subject) -> Iterator[str]:
    groups: dict[str, set[str]] = defaultdict(set)
    for layer in subject.quantization.layers:
        if layer.number is not None and layer.component in ("attention", "mlp", "shared_experts"):
            parent, _, leaf = layer.module.rpartition(".")
            groups[parent].add(leaf)
    for name in subject.checkpoint.tensors:  # a scale whose weight is gone
        if name.endswith(".weight_scale") and ".experts." not in name:
            parent, _, leaf = name.removesuffix(".weight_scale").rpartition(".")
            if parent in groups and name.removesuffix("_scale") not in subject.checkpoint.tensors:
                weight = f"{parent}.{leaf}"
                if weight not in subject.layers:
                    yield weight
    yield from gaps_of_groups(groups)


def _missing_norms(subject: Subject) -> Iterator[str]:
    tensors = subject.checkpoint.tensors
    by_layer: dict[str, set[str]] = defaultdict(set)
    for name in tensors:
        if name.endswith(_NORMS) and layer_of(name) is not None:
            parent, _, leaf = name.removesuffix(".weight").rpartition(".")
            by_layer[parent].add(f"{leaf}.weight")
    if not by_layer:
        return
    roots = {layer.module.partition("layers.")[0] for layer in subject.quantization.layers}
    for layer in subject.quantization.layers:
        if layer.number is not None and layer.component == "attention":
            root = layer.module.partition("layers.")[0]
            by_layer.setdefault(f"{root}layers.{layer.number}", set())
    for parent, found in by_layer.items():
        yield from (f"{parent}.{norm}" for norm in _NORMS if norm not in found)
    for root in roots:
        if f"{root}embed_tokens.weight" in tensors and f"{root}norm.weight" not in tensors:
            yield f"{root}norm"


def _missing_routers(subject: Subject) -> Iterator[str]:
    routed = {x.number for x in subject.quantization.layers if x.component == "router"}
    experts = {x.number: x for x in subject.quantization.layers if x.component == "experts"}
    for number, layer in experts.items():
        if number is not None and number not in routed:
            yield f"{layer.module.partition('.experts')[0]}.gate"


@check(
    "shape-contradicts",
    ERROR,
    prevents="'The size of tensor a must match': loading stops at the first such layer.",
    seen="config.json of another size of the model",
    fix="Use the config.json that belongs to these weights, or quantize again.",
)
def shape_contradicts(subject: Subject) -> Iterator[Found]:
    config = subject.checkpoint.text_config
    for key in _POSITIVE:
        value = config.get(key)
        if value is not None and (type(value) is not int or value <= 0):
            yield Found(f"config.json has {key}: {str(value)[:40]!r}, no number of things", key)
    hidden = subject.architecture.hidden_size
    if not hidden or subject.architecture.family is None or subject.checkpoint.ranks:
        return
    fits = _Fitting(hidden)
    wrong = [x.module for x in subject.quantization.layers if not fits(x)]
    # Of a weight with a bitmask half the columns are stored (compressed-tensors' sparsity).
    wrong = [module for module in wrong if f"{module}.bitmask" not in subject.checkpoint.tensors]
    wrong += [t.name for t in subject.embeddings if t.shape[1:] != (hidden,)]
    if wrong:
        tensors = subject.checkpoint.tensors
        name = wrong[0] if wrong[0] in tensors else f"{wrong[0]}.weight"
        shape = list(tensors[name].shape) if name in tensors else []
        yield Found(f"{some(wrong, 'weights')}: {shape} does not fit hidden_size {hidden}", name)
    scales = [scale for x in subject.quantization.layers if (scale := _odd_scale(x, subject))]
    if scales:
        shape = list(subject.checkpoint.tensors[scales[0]].shape)
        yield Found(f"{some(scales, 'scales')}: {shape} does not fit its weight", scales[0])


class _Fitting:
    """`_fits`, asked once for all layers that are alike: experts are thousands of a few kinds."""

    def __init__(self, hidden: int) -> None:
        self._hidden = hidden
        self._known: dict[tuple[object, ...], bool] = {}

    def __call__(self, layer: Layer) -> bool:
        module, component, scheme, tensor, number = layer
        leaf = module[module.rfind(".") + 1 :]
        alike = (leaf, component, scheme, tensor.dtype, tensor.shape, number is None)
        known = self._known.get(alike)
        if known is None:
            known = self._known[alike] = _fits(layer, self._hidden)
        return known


def _fits(layer: Layer, hidden: int) -> bool:
    """Whether a plain matrix takes or gives hidden states of the model's size."""
    plain = len(layer.tensor.shape) == 2 and layer.tensor.dtype in ("I8", "BF16", "F16", "F32")
    if not plain or layer.number is None or layer.component not in ("attention", "mlp", "experts"):
        return True
    if layer.scheme != FLOAT and not layer.scheme.startswith("W8"):
        return True  # packed
    leaf = layer.module.rpartition(".")[2]
    if leaf in _TAKE_HIDDEN:
        return layer.tensor.shape[1] == hidden
    return leaf not in _GIVE_HIDDEN or layer.tensor.shape[0] == hidden


def _odd_scale(layer: Layer, subject: Subject) -> str | None:
    """The scale of an unpacked 8-bit weight that has neither one row nor one for each channel."""
    weight = layer.tensor
    if weight.dtype != "I8" or not layer.scheme.startswith("W8") or layer.number is None:
        return None
    name = f"{layer.module}.weight_scale"
    scale = subject.checkpoint.tensors.get(name)
    if scale is None or not scale.shape or len(weight.shape) != 2:
        return None
    return None if scale.shape[0] in (1, weight.shape[0]) else name


CHECKS = (modules_missing, shape_contradicts)
