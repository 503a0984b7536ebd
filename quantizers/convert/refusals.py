"""Why a checkpoint has no exact counterpart in the other format; nothing is approximated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from registry.checkpoint.components import TP_SLICES, component_of, is_quantization_part
from registry.checkpoint.facts import Facts
from registry.checkpoint.quantization import quantization_config
from registry.checkpoint.quantization.layers import FLOAT
from registry.errors import IncompatibleError

SCHEME = "W8A8_DYNAMIC"
# By the format of the source, in its own terms.
_WHY: Mapping[str, Mapping[str, str]] = {
    "modelslim": {
        "W8A8": "static scales of activations are folded into those of the product (deq_scale, "
        "quant_bias), and taking them apart is arithmetic",
        "W8A8_MIX": "activations are quantized in two ways, for prefill and decode",
        "W4A8_DYNAMIC": "weights of 4 bits are packed and corrected for one kernel (scale_bias)",
        "W8A16": "weights may be asymmetric, and compressed-tensors packs them into words",
    },
    "compressed-tensors": {
        "W8A8": "static scales of activations (input_scale) would have to be folded into those of "
        "the product, and that is arithmetic",
        "W4A8_DYNAMIC": "weights of 4 bits would have to be packed and corrected for one kernel, "
        "and that is arithmetic",
        "W8A16": "weights are packed into words (weight_packed), and ModelSlim's are not",
    },
}
# Parts of a layer that are applied while the model runs.
_ONLINE = (
    "kronecker_rotation_m", "kronecker_rotation_n", "heads_rotation", "left_trans", "right_trans",
    "mul_scale", "svd_lowrank_l1",
)  # fmt: skip


def require_convertible(facts: Facts, method: str, *, parts: Iterable[str]) -> None:
    """Refuse what cannot be said in the other format.

    Args:
        facts: of the source.
        method: that it has to be in, `modelslim` or `compressed-tensors`.
        parts: leaves of tensors' names that belong to a quantized layer, besides its weight.

    Raises:
        IncompatibleError: with every reason, the first in its message and the rest below.
    """
    if facts.quantization.method == "none":
        raise IncompatibleError(
            f"{facts.checkpoint.label} is not quantized: there is nothing to convert",
            remedy="Quantize it in the format that you need; `qreg quantize` does.",
        )
    if facts.quantization.method != method:
        raise IncompatibleError(
            f"{facts.checkpoint.label} is in the format {facts.quantization.method}, "
            f"not {method}: there is nothing to convert it from",
            remedy="qreg converts between ModelSlim's W8A8_DYNAMIC and compressed-tensors' INT8 "
            "with scales per channel and token.",
        )
    reasons = [*_of_layers(facts), *_of_tensors(facts, frozenset(parts)), *_of_config(facts)]
    if reasons:
        raise IncompatibleError(
            f"{facts.checkpoint.label} has no exact counterpart: {reasons[0]}",
            remedy="Quantize the base model in the format that you need; `qreg quantize` does.",
            details="\n".join(reasons[1:]),
        )


def _of_layers(facts: Facts) -> Iterator[str]:
    counts = Counter(layer.scheme for layer in facts.quantization.layers)
    for scheme in sorted(counts.keys() - {SCHEME, FLOAT}):
        why = _WHY[facts.quantization.method].get(scheme)
        yield f"{counts[scheme]} layer(s) are {scheme}" + (f": {why}" if why else "")
    if not counts.keys() - {FLOAT}:
        yield "no layer is quantized"
    for layer in facts.quantization.layers:
        if layer.scheme != SCHEME:
            continue
        scale = facts.checkpoint.tensors.get(f"{layer.module}.weight_scale")
        if layer.tensor.dtype != "I8" or len(layer.tensor.shape) != 2:
            yield f"{layer.tensor.name} is {layer.tensor.dtype} {list(layer.tensor.shape)}"
        elif scale is None or scale.shape != (layer.tensor.shape[0], 1):
            found = list(scale.shape) if scale else "missing"
            yield f"{layer.module} has not one scale a channel: weight_scale is {found}"
        else:
            continue
        return  # the first of its kind tells enough
    for what, schemes in facts.quantization.computations.items():
        yield f"the {what.replace('_', ' ')} is quantized, too ({', '.join(schemes)})"


def _of_tensors(facts: Facts, parts: frozenset[str]) -> Iterator[str]:
    checkpoint = facts.checkpoint
    schemes = {layer.module: layer.scheme for layer in facts.quantization.layers}
    if checkpoint.ranks or any(TP_SLICES in name for name in checkpoint.tensors):
        yield "its weights are stored in slices for one tensor parallel size"
    others: dict[str, str] = {}
    for name in checkpoint.tensors:
        module, _, leaf = name.rpartition(".")
        if schemes.get(module, FLOAT) not in (SCHEME, FLOAT):
            continue  # the layer is refused as it is
        if is_quantization_part(name) and not (leaf in parts and schemes.get(module) == SCHEME):
            others.setdefault(leaf, name)
        elif leaf == "bias" and _is_added_to_a_norm(name, facts):
            others.setdefault("norm.bias", name)
    for leaf, name in sorted(others.items()):
        if leaf in _ONLINE:
            yield f"{name} is applied while the model runs"
        elif leaf == "norm.bias":
            yield f"smoothing has given {name} to a norm that has no bias in this architecture"
        else:
            yield f"{name} has no place in the other format"


def _is_added_to_a_norm(name: str, facts: Facts) -> bool:
    return component_of(name) == "norm" and "rms_norm_eps" in facts.checkpoint.text_config


def _of_config(facts: Facts) -> Iterator[str]:
    config = quantization_config(facts.checkpoint.config)
    if facts.quantization.method == "modelslim":
        if config:
            yield "config.json has a quantization_config of another format"
        return
    for key in ("kv_cache_scheme", "transform_config", "sparsity_config"):
        if config.get(key):
            yield f"its quantization_config has a {key}"
    groups = config.get("config_groups")
    for group in groups.values() if isinstance(groups, Mapping) else ():
        inputs = group.get("input_activations") if isinstance(group, Mapping) else None
        strategy = inputs.get("strategy") if isinstance(inputs, Mapping) else None
        if strategy not in (None, "token"):
            yield f"its activations have one scale a {strategy}, not one a token"
