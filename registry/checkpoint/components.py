"""Which part of a model a tensor belongs to, by its name.

A model has a few dozen kinds of names and up to hundreds of thousands of tensors. So each kind is
looked at once.
"""

from __future__ import annotations

import re
from functools import lru_cache

# First match wins. Names are those of transformers' models, of the families' own formats (DeepSeek
# V4, Mistral) and of ModelSlim's outputs. They are searched in `.NAME.`.
_RULES = tuple(
    (component, re.compile(pattern))
    for component, pattern in (
        (
            "vision",
            r"\.(visual|vision_\w+|multi_modal_projector|mm_projector|patch_merger|audio_tower|"
            r"embed_vision|embed_audio)\.",
        ),
        ("mtp", r"\.(mtp|mtp_\w+|nextn|eh_proj|enorm|hnorm|shared_head)\."),
        ("lm_head", r"\.lm_head\.|^\.(head|output)\.weight"),
        (
            "embedding",
            r"\.(embed_\w+|\w*embeddings?|wte|wpe|relative_attention_bias)\.|^\.embed\.",
        ),
        ("shared_experts", r"\.shared_experts?(_gate)?\."),
        ("experts", r"\.experts\."),
        (
            "router",
            r"\.(mlp|block_sparse_moe|feed_forward|ffn|moe)\.(gate|router)\.|"
            r"\.e_score_correction_bias\.",
        ),
        ("norm", r"norm\w*\.|\.ln_\w+\."),
        (
            "attention",
            r"\.(self_attn|cross_attn|cross_attn_attn_gate|attn|attention|linear_attn|"
            r"self_attention|indexer|mixer)\.",
        ),
        ("mlp", r"\.(mlp|cross_attn_mlp_gate|feed_forward|ffn|block_sparse_moe)\."),
    )
)
COMPONENTS = (*(name for name, _ in _RULES), "other")

# Tensors that only serve to dequantize, rotate or smooth another one.
_PARTS = frozenset(
    {
        # compressed-tensors 0.19 and vLLM's FP8
        "weight_scale", "weight_zero_point", "weight_shape", "weight_g_idx", "weight_scale_inv",
        "weight_global_scale", "input_scale", "input_zero_point", "input_global_scale",
        "output_scale", "output_zero_point", "k_scale", "v_scale", "q_scale", "bitmask",
        "row_offsets", "scale", "shape", "meta", "scale_packed",
        # ModelSlim 26.1
        "weight_offset", "weight_scale_second", "weight_offset_second", "weight_dual_scale",
        "input_offset", "deq_scale", "quant_bias", "scale_bias", "kv_cache_scale",
        "kv_cache_offset", "left_trans", "right_trans", "clip_ratio", "heads_rotation",
        "kronecker_rotation_m", "kronecker_rotation_n", "mul_scale", "offset",
        "svd_lowrank_l1", "svd_lowrank_l2", "reduce_scale", "gather_scale",
        # AWQ, GPTQ, bitsandbytes, gpt-oss, compressed W8A8SC
        "scales", "qzeros", "g_idx", "absmax", "quant_map", "nested_absmax", "nested_quant_map",
        "SCB", "weight_format", "index", "info", "gate_up_proj_scales", "down_proj_scales",
    }
)  # fmt: skip
TP_SLICES = ".tp_list."
_USUAL = frozenset({"model.", ""})
_ELSEWHERE = re.compile(r"visual|vision|mtp\.|audio")  # layers of other parts
_NO_DIGITS = str.maketrans("", "", "0123456789")
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


class Components:
    """Names tensors' components for one model.

    Args:
        layers: how many decoder layers the model has; layers beyond them are its MTP layers, as
            DeepSeek and GLM store them. None if it is not known.
    """

    def __init__(self, layers: int | None) -> None:
        self._layers = layers
        self._known: dict[str, str] = {}
        self._numbers: dict[str, int | None] = {}

    def of(self, name: str) -> str:
        """One of COMPONENTS."""
        return self.place(name)[0]

    def place(self, name: str) -> tuple[str, int | None]:
        """One of COMPONENTS, and the number of the layer that the tensor is in, if it is in one."""
        start = name.find("layers.")
        end = name.find(".", start + 7) + 1 if start >= 0 else 0
        # What stands before the layer's number is the same for thousands of tensors, what stands
        # behind it for those of all layers.
        prefix, rest = name[:end], name[end:]
        layer = self._numbers.get(prefix, -1)
        if layer == -1:
            layer = self._numbers[prefix] = layer_of(name) if prefix else None
        if layer is None:
            return component_of(name), None
        if self._layers is not None and layer >= self._layers:
            return "mtp", layer
        component = self._known.get(rest)
        if component is None:
            component = self._known[rest] = component_of(name)
        return component, layer


def kind_of(name: str) -> str:
    """The name without its numbers: `model.layers.*.mlp.experts.*.up_proj.weight`."""
    return _NUMBER.sub("*", name)


def layer_of(name: str) -> int | None:
    """The number of the decoder layer that a tensor is in; None outside of layers."""
    before, found, after = name.partition("layers.")
    if not found or (before not in _USUAL and not _is_decoder(before)):
        return None
    number = after.partition(".")[0]
    # A number with thousands of digits is no layer, and costs time to read.
    return int(number) if len(number) < 7 and number.isascii() and number.isdigit() else None


@lru_cache(maxsize=4096)
def _is_decoder(prefix: str) -> bool:
    return prefix[-1:] in ("", ".") and not _ELSEWHERE.search(prefix)


def component_of(name: str) -> str:
    """One of COMPONENTS, where the number of layers is not known."""
    return _component(name.translate(_NO_DIGITS))


def module_of(name: str) -> str:
    """The module that a tensor belongs to: `a.b.weight` and `a.b.weight_scale` → `a.b`."""
    return name.rpartition(".")[0]


def is_quantization_part(name: str) -> bool:
    """Whether the tensor only serves to dequantize another one: a scale, an offset, …

    So do the slices that ModelSlim stores a second time for a fixed tensor parallel size.
    """
    leaf = name[name.rfind(".") + 1 :]
    if leaf in _PARTS:
        return True
    if leaf.isdigit():
        leaf = name.rpartition(".")[0].rpartition(".")[2]
    return leaf in _PARTS or leaf.startswith("bitsandbytes__") or TP_SLICES in name


@lru_cache(maxsize=65536)
def _component(stripped: str) -> str:
    """By a name without digits, of which a model has a few dozen; no rule looks at digits."""
    padded = f".{stripped}."
    for component, pattern in _RULES:
        if pattern.search(padded):
            return component
    return "other"
