"""Checks of the sizes that config.json gives: against the weights, and against the ranks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from registry.checkpoint.architecture import Architecture
from registry.checkpoint.quantization.layers import FLOAT, Layer
from registry.finding import ERROR
from registry.lint.check import ASCEND, Found, check, some
from registry.lint.subject import Subject

# One element a weight; others are packed in ways that differ.
_UNPACKED = ("I8", "BF16", "F16", "F32", "F8_E4M3", "F8_E5M2")
# Where a query has its gate beside it: q_proj is twice as wide (`attn_output_gate`).
_GATED = ("Qwen3-Next", "Qwen3.5", "Qwen3.5 MoE")
# Its dense layers have a size of their own (`intermediate_size_mlp`).
_OTHER_MLP = ("Llama 4",)


class Size(NamedTuple):
    """What config.json says of one side of a matrix; hidden states are on the other, if any.

    Attributes:
        side: 0 for output channels, 1 for input channels.
        values: channels that fit.
        words: where the number comes from.
        hidden: whether the other side is the model's hidden size.
    """

    side: int
    values: tuple[int, ...]
    words: str
    hidden: bool = True


@check(
    "layer-sizes",
    ERROR,
    prevents="'The size of tensor a must match': loading stops, or heads are cut where none end.",
    seen="config.json of another size of the model",
    fix="Use the config.json that belongs to these weights, or quantize again.",
)
def layer_sizes(subject: Subject) -> Iterator[Found]:
    architecture = subject.architecture
    if architecture.family is None or subject.checkpoint.ranks:
        return
    # Where it says nothing, classes differ in what they assume (Gemma's is no function of heads).
    said = subject.checkpoint.text_config.get("num_key_value_heads") is not None
    kv_heads = architecture.kv_heads if said else None
    sizes = {**_attention(architecture, kv_heads), **_feed_forward(architecture)}
    wrong: dict[str, list[Layer]] = defaultdict(list)
    for layer in subject.quantization.layers:
        if layer.number is not None and len(layer.tensor.shape) == 2:
            size = sizes.get(_key(layer))
            if size and not _fits(layer, size, architecture.hidden_size):
                wrong[size.words].append(layer)
    tensors = subject.checkpoint.tensors
    for words, every in wrong.items():
        # Of a weight with a bitmask half the columns are stored (compressed-tensors' sparsity).
        found = [layer for layer in every if f"{layer.module}.bitmask" not in tensors]
        if not found:
            continue
        names = [layer.tensor.name for layer in found]
        shape = list(found[0].tensor.shape)
        yield Found(f"{some(names, 'weights')}: {shape} does not fit {words}", names[0])


def _key(layer: Layer) -> tuple[str, str]:
    """`attention`, `self_attn.q_proj`; of other components the last part alone."""
    parent, _, leaf = layer.module.rpartition(".")
    if layer.component == "attention":
        return layer.component, f"{parent.rpartition('.')[2]}.{leaf}"
    return layer.component, leaf


def _fits(layer: Layer, size: Size, hidden: int | None) -> bool:
    shape, scheme = layer.tensor.shape, layer.scheme
    known = scheme == FLOAT or scheme.startswith(("W8", "WFP8"))
    if layer.tensor.dtype not in _UNPACKED or not known:
        return True
    if size.hidden and hidden != shape[1 - size.side]:
        return True  # said by shape-contradicts
    return shape[size.side] in size.values


def _attention(architecture: Architecture, kv_heads: int | None) -> dict[tuple[str, str], Size]:
    found: dict[str, Size] = {}

    def add(name: str, side: int, heads: int | None, size: int | None, words: str) -> None:
        if heads and size:
            words = f"{words}: {heads} × {size}"
            gated = name == "q_proj" and architecture.family in _GATED
            values = (heads * size, 2 * heads * size) if gated else (heads * size,)
            found[name] = Size(
                side, values, words, name in ("q_proj", "k_proj", "v_proj", "o_proj")
            )

    heads = architecture.heads
    if architecture.attention == "gqa":
        size = architecture.head_dim
        add("q_proj", 0, heads, size, "num_attention_heads × head_dim")
        add("o_proj", 1, heads, size, "num_attention_heads × head_dim")
        add("k_proj", 0, kv_heads, size, "num_key_value_heads × head_dim")
        add("v_proj", 0, kv_heads, size, "num_key_value_heads × head_dim")
    elif architecture.attention == "mla":
        query = "num_attention_heads × (qk_nope_head_dim + qk_rope_head_dim)"
        nope, value = architecture.nope_head_dim, architecture.v_head_dim
        rotary = architecture.rope_head_dim
        both = nope + rotary if nope is not None and rotary is not None else None
        add("q_proj", 0, heads, both, query)
        add("q_b_proj", 0, heads, both, query)
        add("o_proj", 1, heads, value, "num_attention_heads × v_head_dim")
        if nope is not None and value:
            text = "num_attention_heads × (qk_nope_head_dim + v_head_dim)"
            add("kv_b_proj", 0, heads, nope + value, text)
        if architecture.q_lora_rank:
            rank = architecture.q_lora_rank
            found["q_a_proj"] = Size(0, (rank,), f"q_lora_rank: {rank}")
        if architecture.kv_lora_rank and rotary is not None:
            rank = architecture.kv_lora_rank + rotary
            text = f"kv_lora_rank + qk_rope_head_dim: {rank}"
            found["kv_a_proj_with_mqa"] = Size(0, (rank,), text)
    return {("attention", f"self_attn.{name}"): size for name, size in found.items()}


def _feed_forward(architecture: Architecture) -> dict[tuple[str, str], Size]:
    dense, expert = architecture.intermediate_size, architecture.moe_intermediate_size
    shared = architecture.shared_expert_intermediate_size
    words = "shared_expert_intermediate_size"
    if not shared and expert and architecture.shared_experts:
        shared = expert * architecture.shared_experts
        words = "moe_intermediate_size × number of shared experts"
    rows = [
        ("shared_experts", shared, words),
        # Mixtral and MiniMax have one size for all.
        ("experts", expert or dense, f"{'moe_' if expert else ''}intermediate_size"),
    ]
    if architecture.family not in _OTHER_MLP:
        rows.append(("mlp", dense, "intermediate_size"))
    found = {}
    for component, size, text in rows:
        for side, leaves in ((0, ("gate_proj", "up_proj", "w1", "w3")), (1, ("down_proj", "w2"))):
            if size:
                found.update(
                    {(component, leaf): Size(side, (size,), f"{text}: {size}") for leaf in leaves}
                )
    return found


def unshared_heads(architecture: Architecture, ranks: int) -> tuple[str, str] | None:
    """What keeps ranks from sharing a model's heads, and which numbers would do; None if nothing.

    With fewer KV heads than ranks, each is held by several.
    """
    heads = architecture.heads
    kv_heads = architecture.kv_heads if architecture.attention != "mla" else None

    def whole(number: int) -> bool:
        return not kv_heads or not (kv_heads % number and number % kv_heads)

    if heads and heads % ranks:
        what = f"{heads} attention heads"
    elif not whole(ranks):
        what = f"{kv_heads} KV heads"
    else:
        return None
    most = heads or kv_heads or 1
    able = [str(n) for n in range(1, most + 1) if most % n == 0 and whole(n)]
    listed = " or ".join(filter(None, (", ".join(able[:-1]), able[-1])))
    return (
        f"{what} cannot be shared by {ranks} ranks",
        f"Choose a tensor parallel size that divides the heads: {listed}.",
    )


@check(
    "tensor-parallel-heads",
    ERROR,
    prevents="'Total number of attention heads must be divisible by tensor parallel size': the "
    "engine stops before it loads a weight.",
    seen=f"{ASCEND}761, gpustack/gpustack#2259",
    fix="Choose a tensor parallel size that divides the heads.",
)
def tensor_parallel_heads(subject: Subject) -> Iterator[Found]:
    ranks = subject.target.tensor_parallel
    problem = unshared_heads(subject.architecture, ranks) if ranks else None
    if problem:
        yield Found(problem[0], "config.json", fix=problem[1])


CHECKS = (layer_sizes, tensor_parallel_heads)
