"""Checks of the layers for multi-token prediction: there, whole, described and announced."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

from registry.checkpoint.quantization.layers import Layer
from registry.finding import ERROR, INFO, WARNING
from registry.lint.check import ASCEND, Found, check, some
from registry.lint.siblings import gaps_of_groups
from registry.lint.subject import Subject

# Where the number of such a layer stands if it is no decoder layer beyond the last: Qwen3.5's
# `mtp.layers.0.`, DeepSeek V4's `mtp.0.`.
_NUMBERED = re.compile(r"(?:\A|\.)(?:mtp|mtp_layers|nextn)\.(?:layers\.)?(\d{1,6})\.")
_ATTENTION = ("self_attn", "attn", "attention")
_FEED_FORWARD = ("mlp", "ffn", "feed_forward", "block_sparse_moe", "moe")
_ROUTERS = ("gate", "router")
# What joins the hidden state and the next token's embedding, in layers beyond the last one.
_JOINTS = ("eh_proj.weight", "enorm.weight", "hnorm.weight")


@check(
    "mtp-missing",
    WARNING,
    prevents="Speculative decoding with MTP stops for want of its weights.",
    seen=f"{ASCEND}5794, {ASCEND}9655",
    fix="Keep the MTP layers when quantizing (as FLOAT), or serve without speculation.",
)
def mtp_missing(subject: Subject) -> Iterator[Found]:
    announced = subject.architecture.mtp_layers
    if not announced or subject.checkpoint.faults:
        return
    if not mtp_weights(subject):
        yield Found(f"config.json announces {announced} MTP layer(s), no shard holds one", "mtp")
        return
    held = len(_by_layer(subject))
    if held and held < announced:
        text = f"config.json announces {announced} MTP layers, the shards hold {held}"
        yield Found(text, "mtp")


@check(
    "mtp-incomplete",
    WARNING,
    prevents="Speculative decoding with MTP drafts with random weights, and next to no draft is "
    "accepted.",
    seen="interrupted copies; experts of the MTP layer that a converter does not know",
    fix="Copy the missing weights from the base model, or serve without speculation.",
)
def mtp_incomplete(subject: Subject) -> Iterator[Found]:
    checkpoint = subject.checkpoint
    if subject.architecture.family is None or checkpoint.faults or checkpoint.ranks:
        return
    missing: list[str] = []
    for root, modules in _by_layer(subject).items():
        missing += [f"{root}{gap}" for gap in _gaps(modules, subject)]
        joints = [] if _NUMBERED.search(root) else [f"{root}{name}" for name in _JOINTS]
        lost = [name for name in joints if name not in checkpoint.tensors]
        missing += lost if len(lost) < len(joints) else []
    if missing:
        yield Found(f"An MTP layer lacks {some(missing, 'such modules')}", missing[0])


def _by_layer(subject: Subject) -> Mapping[str, list[str]]:
    """The linear layers of each MTP layer, by what their names begin with."""
    found: dict[str, list[str]] = defaultdict(list)
    for layer in mtp_weights(subject):
        if layer.number is not None:
            end = layer.module.find(f"layers.{layer.number}.") + len(f"layers.{layer.number}.")
        else:
            match = _NUMBERED.search(layer.module)
            if match is None:
                continue
            end = match.end()
        found[layer.module[:end]].append(layer.module[end:])
    return found


def _gaps(modules: list[str], subject: Subject) -> Iterator[str]:
    """What a decoder layer cannot be without, of one that has attention or a feed-forward part."""
    firsts = {module.partition(".")[0] for module in modules}
    feed_forward = next((name for name in _FEED_FORWARD if name in firsts), "")
    attention = any(name in firsts for name in _ATTENTION)
    if not feed_forward and not attention:
        return  # of a kind that is not known here
    routed = any(".experts." in module for module in modules)
    inner = {module.partition(".")[2] for module in modules if module.startswith(feed_forward)}
    dense = any("." not in name and not name.endswith(_ROUTERS) for name in inner)
    if not attention:
        yield "self_attn"
    if not feed_forward or not (routed or dense):
        yield f"{feed_forward or 'mlp'}.experts" if subject.architecture.is_moe else "mlp"
    if routed and not inner.intersection(_ROUTERS):
        yield f"{feed_forward}.gate"
    shared = any("shared_expert" in module for module in modules)
    if routed and subject.architecture.shared_experts and not shared:
        yield f"{feed_forward}.shared_experts"
    groups: dict[str, set[str]] = defaultdict(set)
    for module in modules:
        parent, _, leaf = module.rpartition(".")
        groups[parent].add(leaf)
    yield from gaps_of_groups(groups)


@check(
    "mtp-undescribed",
    ERROR,
    prevents="KeyError: 'model.layers.61.….weight' as soon as MTP is switched on.",
    seen=f"{ASCEND}5794, {ASCEND}9655",
    fix='Add the MTP layers\' weights to the description, as "FLOAT" if they are not quantized.',
)
def mtp_undescribed(subject: Subject) -> Iterator[Found]:
    if not subject.is_modelslim or subject.lacks_description:
        return
    names = [
        layer.tensor.name
        for layer in mtp_weights(subject)
        if layer.tensor.name not in subject.described
    ]
    if names:
        yield Found(f"The description lacks {some(names, 'MTP weights')}", names[0])


@check(
    "mtp-surplus",
    INFO,
    prevents="Memory and download go to MTP layers that config.json does not announce.",
    seen="config.json of a model without MTP beside weights with it",
    fix="Announce them (num_nextn_predict_layers), or remove the weights.",
)
def mtp_surplus(subject: Subject) -> Iterator[Found]:
    layers = mtp_weights(subject)
    ordinary = all(layer.number is not None for layer in layers) and not any(
        "eh_proj" in name or "enorm" in name for name in mtp_modules(subject)
    )
    if layers and not subject.architecture.mtp_layers and not ordinary:
        name = layers[0].tensor.name
        yield Found(f"{len(layers)} MTP weights, but config.json announces no MTP layer", name)


def mtp_modules(subject: Subject) -> list[str]:
    """The linear layers of MTP."""
    return [layer.module for layer in mtp_weights(subject)]


def mtp_weights(subject: Subject) -> list[Layer]:
    """The same, with their weights."""
    return [layer for layer in subject.quantization.layers if layer.component == "mtp"]


CHECKS = (mtp_missing, mtp_incomplete, mtp_undescribed, mtp_surplus)
