"""Checks of what the model consists of: fused layers, experts, head, embedding, layers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from registry.checkpoint.quantization.layers import Layer
from registry.finding import ERROR
from registry.lint.check import ASCEND, Found, check, some
from registry.lint.checks.mtp import mtp_modules
from registry.lint.subject import Subject

# Layers that engines fuse into one (vLLM Ascend 0.23.0, packed_modules_model_mapping).
_FUSED = {
    part: group
    for group, parts in {
        "q/k/v": ("q_proj", "k_proj", "v_proj"),
        "gate/up": ("gate_proj", "up_proj"),
        "gate/up ": ("w1", "w3"),
        "q_a/kv_a": ("q_a_proj", "kv_a_proj_with_mqa"),
        "qkv/z": ("in_proj_qkv", "in_proj_z"),
        "b/a": ("in_proj_b", "in_proj_a"),
    }.items()
    for part in parts
}


_FEED_FORWARD = ("experts", "mlp")


@check(
    "fused-shards",
    ERROR,
    prevents="'Not all shards of qkv_proj are quantized with same quant type': the engine stops.",
    seen=f"{ASCEND}2588",
    fix="Quantize the layers of a group alike, or leave all of them out.",
)
def fused_shards(subject: Subject) -> Iterator[Found]:
    if all(len(schemes) == 1 for schemes in subject.quantization.schemes.values()):
        return  # the usual case, of which the largest models are
    groups: dict[tuple[str, str], dict[str, Layer]] = defaultdict(dict)
    for layer in subject.quantization.layers:
        parent, _, leaf = layer.module.rpartition(".")
        if leaf in _FUSED:
            groups[parent, _FUSED[leaf]].setdefault(layer.scheme, layer)
    mixed = [(key, found) for key, found in groups.items() if len(found) > 1]
    if mixed:
        (parent, _), found = mixed[0]
        text = ", ".join(f"{x.module.rpartition('.')[2]} {x.scheme}" for x in found.values())
        where = [f"{parent} ({group.strip()})" for (parent, group), _ in mixed]
        yield Found(f"{some(where, 'groups')} mix schemes: {text}", parent)


@check(
    "experts-mixed",
    ERROR,
    prevents="Experts run in one kernel of one type, that of expert 0: garbage, or a ValueError.",
    seen=f"{ASCEND}2588",
    fix="Give all routed experts of a layer one scheme.",
)
def experts_mixed(subject: Subject) -> Iterator[Found]:
    schemes: dict[str, set[str]] = defaultdict(set)
    for layer in subject.quantization.layers:
        parent, found, _ = layer.module.partition(".experts.")
        if found:
            schemes[parent].add(layer.scheme)
    mixed = [(parent, sorted(found)) for parent, found in schemes.items() if len(found) > 1]
    if mixed:
        parents = [f"{parent}.experts" for parent, _ in mixed]
        yield Found(f"{some(parents, 'layers')} mix {', '.join(mixed[0][1])}", parents[0])


@check(
    "experts-missing",
    ERROR,
    prevents="Tokens routed to the missing experts get random weights.",
    seen="interrupted copies; a quantizer that ran out of memory",
    fix="Copy the missing shards, or quantize again.",
)
def experts_missing(subject: Subject) -> Iterator[Found]:
    expected = subject.architecture.experts
    if not expected or subject.checkpoint.faults:
        return
    counts: dict[str, int] = defaultdict(int)
    for layer in subject.quantization.layers:
        parent, found, rest = layer.module.partition(".experts.")
        number, _, leaf = rest.partition(".")
        if found and number.isdigit():
            counts[f"{parent}.experts.*.{leaf}"] += 1
    wrong = [name for name, count in counts.items() if count != expected]
    if wrong:
        yield Found(
            f"{some(wrong, 'such layers')} has {counts[wrong[0]]} experts, config.json says "
            f"{expected}",
            wrong[0],
        )
    # Every layer has experts or a dense MLP.
    having = {
        layer.number for layer in subject.quantization.layers if layer.component in _FEED_FORWARD
    }
    without = [
        layer.module
        for layer in subject.quantization.layers
        if layer.component == "attention" and layer.number not in having
    ]
    if without and having:
        parent = without[0].rpartition(".")[0].rpartition(".")[0]
        yield Found(f"{parent}.mlp has neither experts nor dense layers", parent)


@check(
    "layers-missing",
    ERROR,
    prevents="The model loads with layers of random weights, or stops at the end of loading.",
    seen="interrupted copies",
    fix="Copy the missing shards, or correct num_hidden_layers.",
)
def layers_missing(subject: Subject) -> Iterator[Found]:
    expected = subject.architecture.layers
    if not expected or subject.architecture.family is None or subject.checkpoint.faults:
        return
    present = {layer.number for layer in subject.quantization.layers}
    beyond = sorted(n for n in present if n is not None and n >= expected)
    if beyond and not any("eh_proj" in name or "enorm" in name for name in mtp_modules(subject)):
        fix = "Correct num_hidden_layers in config.json."
        text = f"Shards hold layer {beyond[-1]}, config.json says {expected} layers"
        yield Found(text, f"layers.{beyond[0]}", fix=fix)
    missing = [n for n in range(min(expected, 10_000)) if n not in present]
    if missing and subject.quantization.layers:
        yield Found(
            f"{len(missing)} of {expected} layers have no weights, the first is {missing[0]}",
            f"layers.{missing[0]}",
        )


@check(
    "embedding",
    ERROR,
    prevents="KeyError: 'model.embed_tokens.weight', or an assertion on the vocabulary's size.",
    seen=f"{ASCEND}3534",
    fix="Copy the embedding from the base model, or correct vocab_size.",
)
def embedding(subject: Subject) -> Iterator[Found]:
    architecture = subject.architecture
    if architecture.family is None or subject.checkpoint.faults:
        return
    tables = subject.embeddings
    if not tables:
        yield Found("There is no embedding of tokens", "embed_tokens.weight")
        return
    vocabulary, rows = architecture.vocab_size, architecture.embedding_rows
    rows = -(-(rows or 0) // max(1, subject.checkpoint.ranks))
    if rows and tables[0].shape[:1] != (rows,):
        due = "" if rows == vocabulary else f", which asks for {rows} rows"
        text = f"{tables[0].name} is {list(tables[0].shape)}, vocab_size is {vocabulary}{due}"
        yield Found(text, tables[0].name)


@check(
    "lm-head",
    ERROR,
    prevents="KeyError: 'lm_head.weight', or a head of random weights.",
    seen=f"{ASCEND}4313, {ASCEND}3534",
    fix="Copy lm_head.weight from the base model, or set tie_word_embeddings if it shares the "
    "embedding.",
)
def lm_head(subject: Subject) -> Iterator[Found]:
    architecture = subject.architecture
    if architecture.family is None or architecture.tied_embeddings or subject.checkpoint.faults:
        return
    if not any(layer.component == "lm_head" for layer in subject.quantization.layers):
        yield Found("There is no lm_head, and tie_word_embeddings is not set", "lm_head.weight")


CHECKS = (
    fused_shards,
    experts_mixed,
    experts_missing,
    layers_missing,
    embedding,
    lm_head,
)
