"""Model families: what their configuration classes assume where config.json is silent.

Defaults are those of transformers 5.17's configuration classes (`models/*/configuration_*.py`), and
of the families' own code for those that transformers does not have (Kimi). transformers writes the
language model's section of a composite model without what equals them, and models are published
like that. Sizes are not given here where all published configurations state them. A model type that
is not here is unknown: then only what config.json says counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

_FULL, _SLIDING = "full_attention", "sliding_attention"
# DeepSeek V4's `compress_ratios`, as transformers 5.17 names them.
_COMPRESSION = {
    0: _SLIDING,
    4: "compressed_sparse_attention",
    128: "heavily_compressed_attention",
}


class Settings(Protocol):
    """config.json together with its family's defaults."""

    @property
    def window(self) -> int | None:
        """Tokens that sliding attention looks at; None where no window is used."""

    def value(self, key: str) -> Any: ...

    def integer(self, *keys: str) -> int | None: ...


# From settings and the number of layers to the kind of attention of each layer; None where
# config.json names one that is not known.
Kinds = Callable[[Settings, int], Iterable[str | None]]


def _full(settings: Settings, layers: int) -> Iterable[str]:
    return [_FULL] * layers


def _all_slide(settings: Settings, layers: int) -> Iterable[str]:
    """Mistral, Mixtral, Qwen3 MoE: one mask for all layers (`modeling_mistral.py`)."""
    return [_SLIDING if settings.window else _FULL] * layers


def _late_slide(settings: Settings, layers: int) -> Iterable[str]:
    """Qwen2, Qwen3: the layers from `max_window_layers` on."""
    full = settings.integer("max_window_layers") if settings.window else None
    return [_FULL if full is None or n < full else _SLIDING for n in range(layers)]


def _early_slide(settings: Settings, layers: int) -> Iterable[str]:
    """Qwen2 MoE: every second layer below `max_window_layers`."""
    below = settings.integer("max_window_layers") if settings.window else None
    return [_SLIDING if n < (below or 0) and n % 2 == 0 else _FULL for n in range(layers)]


def _most_slide(settings: Settings, layers: int) -> Iterable[str]:
    """Gemma 2 and 3, gpt-oss: all but the last of each `sliding_window_pattern` layers."""
    pattern = settings.integer("sliding_window_pattern") if settings.window else None
    return [_SLIDING if pattern and (n + 1) % pattern else _FULL for n in range(layers)]


def _chunked(settings: Settings, layers: int) -> Iterable[str]:
    """Llama 4: layers with RoPE see their chunk, those without see everything.

    `no_rope_layers` is 1 for a layer *with* RoPE (`configuration_llama4.py`); an empty list, as
    Llama 4 is published, stands for the interval.
    """
    rope = settings.value("no_rope_layers")
    if not isinstance(rope, list) or not rope:
        interval = settings.integer("no_rope_layer_interval") or 4
        rope = [(n + 1) % interval for n in range(layers)]
    return ["chunked_attention" if with_rope else _FULL for with_rope in rope[:layers]]


def _cross(settings: Settings, layers: int) -> Iterable[str]:
    """Llama 3.2 Vision: the listed layers look at the image."""
    listed = settings.value("cross_attention_layers")
    if not isinstance(listed, list):
        listed = range(3, 39, 5)
    cross = {n for n in listed if type(n) is int}
    return ["cross_attention" if n in cross else _FULL for n in range(layers)]


def _hybrid(settings: Settings, layers: int) -> Iterable[str]:
    """Qwen3-Next, Qwen3.5: linear attention, and full attention every few layers."""
    interval = settings.integer("full_attention_interval")
    return ["linear_attention" if interval and (n + 1) % interval else _FULL for n in range(layers)]


def _latent(settings: Settings, layers: int) -> Iterable[str]:
    """DeepSeek, Kimi, GLM-5: sparse where there is an indexer."""
    return ["sparse_attention" if settings.integer("index_topk") else _FULL] * layers


def _compressed(settings: Settings, layers: int) -> Iterable[str | None]:
    """DeepSeek V4: by `compress_ratios`; without them as `configuration_deepseek_v4.py` does."""
    ratios = settings.value("compress_ratios")
    if not isinstance(ratios, list):
        ratios = [4 if n > 2 and n % 2 else 128 for n in range(layers)]
    return [_COMPRESSION.get(r) if type(r) is int else None for r in ratios[:layers]]


@dataclass(frozen=True)
class Family:
    """One model type.

    Attributes:
        name: of the family, for people.
        defaults: values of keys that config.json may leave out.
        kinds: the kind of attention of each layer, where config.json has no `layer_types`.
        head_dim_from_hidden: the size of a head is hidden size / heads where nothing is said.
        kv_heads_from_heads: there are as many KV heads as heads where nothing is said.
        attention: `mla` for latent attention, `gqa` for all others.
        code: model code comes with the artifact (`auto_map`), because transformers has none.
        extra_embedding_rows: rows of the embedding beyond vocab_size.
    """

    name: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    kinds: Kinds = _full
    head_dim_from_hidden: bool = True
    kv_heads_from_heads: bool = True
    attention: str = "gqa"
    code: bool = False
    extra_embedding_rows: int = 0


def _mla(name: str, code: bool = False) -> Family:
    return Family(name, kinds=_latent, attention="mla", code=code)


_SIZES = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "max_position_embeddings",
)  # fmt: skip


def _sizes(*sizes: int | None) -> Mapping[str, Any]:
    """What a configuration class assumes of _SIZES; None where it assumes nothing."""
    return dict(zip(_SIZES, sizes, strict=True))


def _experts(key: str, number: int, active: int, size: int | None = None) -> Mapping[str, Any]:
    sized = {} if size is None else {"moe_intermediate_size": size}
    return {key: number, "num_experts_per_tok": active, **sized}


_TIED = {"tie_word_embeddings": True}
_WINDOW_OFF = {"use_sliding_window": False, "sliding_window": 4096}
_QWEN2 = {**_WINDOW_OFF, "max_window_layers": 28, "rope_theta": 10000}
_QWEN2_VL = {
    **_sizes(152064, 8192, 29568, 80, 64, 8, 32768),
    **_WINDOW_OFF,
    "max_window_layers": 80,
    "rope_theta": 1000000,
}
_QWEN3_VL = {**_sizes(151936, 4096, 22016, 32, 32, 32, 128000), "head_dim": 128}
_HYBRID = {"head_dim": 256, "full_attention_interval": 4}
_MISTRAL = {
    **_sizes(32000, 4096, 14336, 32, 32, 8, 131072),
    "sliding_window": 4096,
    "rope_theta": 10000,
}
_GEMMA = {**_TIED, "head_dim": 256, "rope_theta": 10000}
_LLAMA4 = Family(
    "Llama 4",
    {
        **_sizes(202048, 5120, 8192, 48, 40, 8, 131072),
        **_experts("num_local_experts", 16, 1),
        "head_dim": 128,
        "interleave_moe_layer_step": 1,
        "n_shared_experts": 1,  # no setting: `modeling_llama4.py`, Llama4TextMoe
        "rope_theta": 500000,
    },
    kinds=_chunked,
)
_MLLAMA = Family(
    "Llama 3.2 Vision",
    {**_sizes(128256, 4096, 14336, 40, 32, 8, 131072), "rope_theta": 500000},
    kinds=_cross,
    extra_embedding_rows=8,  # for the image's token: `modeling_mllama.py`, MllamaTextModel
)
_GEMMA3 = Family(
    "Gemma 3",
    {
        **_sizes(262208, 2304, 9216, 26, 8, 4, 131072),
        **_GEMMA,
        "sliding_window": 4096,
        "sliding_window_pattern": 6,
        "rope_theta": 1000000,  # of the layers with full attention
    },
    kinds=_most_slide,
)
FAMILIES: Mapping[str, Family] = {
    "deepseek_v2": _mla("DeepSeek V2"),
    "deepseek_v3": _mla("DeepSeek V3"),
    "deepseek_v32": _mla("DeepSeek V3.2"),
    "deepseek_v4": Family(
        "DeepSeek V4", {"head_dim": 512, "num_key_value_heads": 1}, kinds=_compressed
    ),
    "kimi_k2": _mla("Kimi K2", code=True),
    "kimi_k25": _mla("Kimi K2.5", code=True),
    "glm4": Family("GLM-4", {"head_dim": 128}),
    "glm4_moe": Family("GLM-4.5", {"head_dim": 128}),
    "glm_moe_dsa": _mla("GLM-5"),
    "minimax_m2": Family("MiniMax M2", {"head_dim": 128}),
    "qwen2": Family("Qwen2", _QWEN2, kinds=_late_slide),
    "qwen2_moe": Family("Qwen2 MoE", _QWEN2, kinds=_early_slide),
    "qwen2_vl": Family("Qwen2-VL", _QWEN2_VL, kinds=_late_slide),
    "qwen2_5_vl": Family("Qwen2.5-VL", _QWEN2_VL, kinds=_late_slide),
    "qwen3": Family("Qwen3", {**_QWEN2, "head_dim": 128}, kinds=_late_slide),
    "qwen3_moe": Family("Qwen3 MoE", {**_WINDOW_OFF, "rope_theta": 10000}, kinds=_all_slide),
    "qwen3_vl": Family("Qwen3-VL", _QWEN3_VL),
    "qwen3_vl_moe": Family(
        "Qwen3-VL MoE",
        {
            **_sizes(151936, 2048, 5632, 24, 16, 16, 128000),
            **_experts("num_experts", 60, 4, 1408),
        },
    ),
    "qwen3_next": Family("Qwen3-Next", {**_HYBRID, "rope_theta": 10000}, kinds=_hybrid),
    "qwen3_5": Family(
        "Qwen3.5",
        {**_sizes(248320, 4096, 12288, 32, 16, 4, 32768), **_HYBRID},
        kinds=_hybrid,
    ),
    "qwen3_5_moe": Family(
        "Qwen3.5 MoE",
        {
            **_sizes(248320, 2048, None, 40, 16, 2, 32768),
            **_experts("num_experts", 256, 8, 512),
            "shared_expert_intermediate_size": 512,
            **_HYBRID,
        },
        kinds=_hybrid,
    ),
    "llama": Family(
        "Llama", {**_sizes(32000, 4096, 11008, 32, 32, None, 2048), "rope_theta": 10000}
    ),
    "llama4": _LLAMA4,
    "mllama": _MLLAMA,
    "mllama_text_model": _MLLAMA,
    "mistral": Family("Mistral", _MISTRAL, kinds=_all_slide),
    # Its language model is a Mistral where its section does not say otherwise.
    "mistral3": Family("Mistral 3", _MISTRAL, kinds=_all_slide),
    "ministral3": Family(
        "Ministral 3",
        {**_sizes(131072, 4096, 14336, 34, 32, 8, 262144), "head_dim": 128},
        kinds=_all_slide,
    ),
    "mistral4": _mla("Mistral 4"),
    "mixtral": Family(
        "Mixtral",
        {
            **_sizes(32000, 4096, 14336, 32, 32, 8, 131072),
            **_experts("num_local_experts", 8, 2),
            "rope_theta": 1000000,
        },
        kinds=_all_slide,
    ),
    "pixtral": Family("Pixtral", {"head_dim": 64}),
    "gemma": Family("Gemma", {**_sizes(256000, 3072, 24576, 28, 16, None, 8192), **_GEMMA}),
    "gemma2": Family(
        "Gemma 2",
        {
            **_sizes(256000, 2304, 9216, 26, 8, 4, 8192),
            **_GEMMA,
            "sliding_window": 4096,
            "sliding_window_pattern": 2,
        },
        kinds=_most_slide,
    ),
    "gemma3": _GEMMA3,
    "gemma3_text": _GEMMA3,
    "gpt_oss": Family(
        "gpt-oss",
        {
            **_sizes(201088, 2880, 2880, 36, 64, 8, 131072),
            **_experts("num_local_experts", 128, 4),
            "head_dim": 64,
            "sliding_window": 128,
            "sliding_window_pattern": 2,
            "rope_theta": 150000,
        },
        kinds=_most_slide,
    ),
}
EXTRA_EMBEDDING_ROWS = {f.name: f.extra_embedding_rows for f in FAMILIES.values()}


def family_of(config: Mapping[str, Any], text: Mapping[str, Any]) -> Family | None:
    """The family of a config.json, by its model type or that of its language model.

    A composite model bears the name of the whole; its language model's class fills its section.
    """
    whole, inner = _family(config), _family(text)
    if whole is None or inner is None:
        return whole or inner
    return replace(inner, name=whole.name, code=whole.code)


def _family(section: Mapping[str, Any]) -> Family | None:
    model_type = section.get("model_type")
    if not isinstance(model_type, str):
        return None
    return FAMILIES.get(model_type) or FAMILIES.get(model_type.removesuffix("_text"))
