"""Architecture facts from config.json, under one set of names for all families."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from registry.checkpoint.families import EXTRA_EMBEDDING_ROWS, Family, family_of
from registry.names import printable

_MOST_VALUES = 4096  # long RoPE has one factor a dimension
_MOST_LAYERS = 100_000
# Names of transformers 5.17's `mlp_layer_types`.
_MLP_KINDS = ("dense", "sparse", "moe", "hash_moe")


@dataclass(frozen=True)
class Architecture:
    """What config.json says; None where neither it nor its family says anything, never a guess.

    Sizes are in elements, positions in tokens.

    Attributes:
        family: the family's name, None for a model type that qreg does not know.
        layers: decoder layers, without MTP layers.
        attention: `mla`, `gqa` (also for plain multi-head attention), or None if unknown.
        layer_types: layers by kind of attention: `full_attention`, `sliding_attention`, …; empty
            if unknown.
        experts: routed experts of a layer; experts_per_token of them are active.
        moe_layers: layers that have experts.
        sliding_window: tokens that sliding attention looks at; None where no window is used.
        mtp_layers: multi-token prediction layers that config.json announces.
        rope_theta: that of the layers with full attention, where kinds of layers differ.
        rope_scaling: config.json's table, with the type under `rope_type`.
        index_topk: tokens that sparse attention looks at.
        vision: whether a vision tower is part of it.
        remote_code: whether its own Python code is needed by loaders that do not know it.
    """

    model_type: str | None
    architectures: tuple[str, ...]
    dtype: str | None
    layers: int | None
    hidden_size: int | None
    heads: int | None
    kv_heads: int | None
    head_dim: int | None
    vocab_size: int | None
    max_positions: int | None
    experts: int | None
    experts_per_token: int | None
    kv_lora_rank: int | None
    rope_head_dim: int | None
    tied_embeddings: bool | None
    remote_code: bool
    family: str | None = None
    attention: str | None = None
    intermediate_size: int | None = None
    moe_intermediate_size: int | None = None
    shared_experts: int | None = None
    shared_expert_intermediate_size: int | None = None
    moe_layers: int | None = None
    q_lora_rank: int | None = None
    nope_head_dim: int | None = None
    v_head_dim: int | None = None
    layer_types: Mapping[str, int] = field(default_factory=dict)
    sliding_window: int | None = None
    index_topk: int | None = None
    mtp_layers: int | None = None
    rope_theta: float | None = None
    rope_scaling: Mapping[str, Any] | None = None
    vision: bool = False

    @property
    def is_moe(self) -> bool:
        """Whether it routes tokens to experts."""
        return bool(self.experts)

    @property
    def embedding_rows(self) -> int | None:
        """Rows of the token embedding: one for each token, and those that the family adds."""
        if self.vocab_size is None:
            return None
        return self.vocab_size + EXTRA_EMBEDDING_ROWS.get(self.family or "", 0)

    @property
    def kv_bytes_per_token(self) -> int | None:
        """Bytes of a 16-bit KV cache for one token, all layers, unsharded; None if unknown.

        MLA stores one latent vector and the rope part a layer, others keys and values for each
        KV head.
        """
        if not self.layers:
            return None
        if self.kv_lora_rank:
            return (self.kv_lora_rank + (self.rope_head_dim or 0)) * 2 * self.layers
        if not self.kv_heads or not self.head_dim:
            return None
        return 2 * self.kv_heads * self.head_dim * 2 * self.layers

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "architectures": list(self.architectures)}


def read_architecture(config: Mapping[str, Any]) -> Architecture:
    """Collect the facts; a composite model's facts are those of its language model."""
    return _Facts(config).read()


def layer_kinds(config: Mapping[str, Any], layers: int | None) -> list[str | None]:
    """The kind of attention of each decoder layer; empty where nothing tells, None for one that
    is not known."""
    return _Facts(config).kinds(layers)


class _Facts:
    def __init__(self, config: Mapping[str, Any]) -> None:
        text = config.get("text_config")
        self.config = config
        self.text: Mapping[str, Any] = text if isinstance(text, Mapping) else config
        self.family: Family | None = family_of(config, self.text)
        self.defaults: Mapping[str, Any] = self.family.defaults if self.family else {}

    def read(self) -> Architecture:
        family = self.family
        heads, hidden = (
            self.integer("num_attention_heads", "n_head"),
            self.integer("hidden_size", "n_embd"),
        )
        layers = self.integer("num_hidden_layers", "n_layer")
        kv_lora_rank = self.integer("kv_lora_rank")
        experts = self.integer("n_routed_experts", "num_experts", "num_local_experts")
        kv_heads, head_dim = self.integer("num_key_value_heads"), self.integer("head_dim")
        if family and kv_heads is None and family.kv_heads_from_heads:
            kv_heads = heads
        if family and head_dim is None and family.head_dim_from_hidden and hidden and heads:
            head_dim = hidden // heads
        if kv_lora_rank:  # what is multiplied: the part without and the part with positions
            nope, rope = self.integer("qk_nope_head_dim"), self.integer("qk_rope_head_dim")
            head_dim = nope + rope if nope is not None and rope is not None else head_dim
        names = self.config.get("architectures")
        return Architecture(
            model_type=self.word("model_type", self.config),
            architectures=tuple(printable(n) for n in names if isinstance(n, str))
            if isinstance(names, list)
            else (),
            dtype=self.word("dtype") or self.word("torch_dtype"),
            layers=layers,
            hidden_size=hidden,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            vocab_size=self.integer("vocab_size"),
            max_positions=self.integer("max_position_embeddings", "n_positions"),
            experts=experts,
            experts_per_token=self.integer(
                "num_experts_per_tok", "experts_per_token", "moe_topk", "top_k_experts"
            ),
            kv_lora_rank=kv_lora_rank,
            rope_head_dim=self.integer("qk_rope_head_dim"),
            tied_embeddings=self._tied(),
            remote_code="auto_map" in self.config or "auto_map" in self.text,
            family=family.name if family else None,
            attention="mla" if kv_lora_rank else family.attention if family else None,
            intermediate_size=self.integer("intermediate_size", "n_inner"),
            moe_intermediate_size=self.integer("moe_intermediate_size"),
            shared_experts=self._shared_experts(),
            shared_expert_intermediate_size=self.integer("shared_expert_intermediate_size"),
            moe_layers=self._moe_layers(layers) if experts and layers else None,
            q_lora_rank=self.integer("q_lora_rank"),
            nope_head_dim=self.integer("qk_nope_head_dim"),
            v_head_dim=self.integer("v_head_dim"),
            layer_types=self._layer_types(layers),
            sliding_window=self.window,
            index_topk=self.integer("index_topk"),
            mtp_layers=self._mtp_layers(),
            rope_theta=self._rope_theta(),
            rope_scaling=self._rope_scaling(),
            vision="vision_config" in self.config,
        )

    @property
    def window(self) -> int | None:
        """Tokens that sliding attention looks at; None where no window is used."""
        if self._has("use_sliding_window") and self.value("use_sliding_window") is not True:
            return None
        return self.integer("sliding_window") or None

    def value(self, key: str) -> Any:
        """The language model's value, the whole model's, or the family's default.

        A null of config.json takes the place of the default, as in configuration classes.
        """
        for section in (self.text, self.config):
            if section.get(key) is not None:
                return section[key]
        return None if self._says(key) else self.defaults.get(key)

    def integer(self, *keys: str) -> int | None:
        """The first of some keys that holds a whole number of a size that models can have.

        Keys are names for one thing, so that a default counts only where none of them is there.
        """
        said = [key for key in keys if self._says(key)]
        for key in said or keys:
            value = self.value(key)
            if type(value) is int and 0 <= value < 2**48:
                return value
        return None

    def _says(self, key: str) -> bool:
        return key in self.text or key in self.config

    def _has(self, key: str) -> bool:
        return self._says(key) or key in self.defaults

    def word(self, key: str, section: Mapping[str, Any] | None = None) -> str | None:
        value = self.value(key) if section is None else section.get(key)
        return printable(value) if isinstance(value, str) else None

    def _tied(self) -> bool | None:
        """The whole model's word counts; a text section may repeat its class's default."""
        for section in (self.config, self.text):
            if isinstance(section.get("tie_word_embeddings"), bool):
                return bool(section["tie_word_embeddings"])
        return bool(self.defaults.get("tie_word_embeddings")) if self.family else None

    def _shared_experts(self) -> int | None:
        counted = self.integer("n_shared_experts", "num_shared_experts")
        if counted is None and self.family and self.integer("shared_expert_intermediate_size"):
            return 1  # Qwen's MoE models have one, of a size of its own
        return counted

    def _moe_layers(self, layers: int) -> int | None:
        """Layers with experts: as listed, or by the keys that name the dense ones.

        What numbers like a step count from is for each family to say, so of unknown ones only
        lists of layers count.
        """
        if layers > _MOST_LAYERS:
            return None
        listed, kinds = self.value("moe_layers"), self.value("mlp_layer_types")
        if isinstance(listed, list):
            return len(_numbers(listed, layers))
        if isinstance(kinds, list) and kinds and all(kind in _MLP_KINDS for kind in kinds):
            return sum(1 for kind in kinds[:layers] if kind != "dense")
        steps = ("decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_freq")
        step, first = self.integer(*steps), self.integer("first_k_dense_replace") or 0
        listed = self.value("mlp_only_layers")
        if self.family is None and (not isinstance(listed, list) or first or step not in (None, 1)):
            return None
        dense = _numbers(listed, layers) if isinstance(listed, list) else frozenset()
        offset = 0 if self.integer("moe_layer_freq") else 1
        sparse = (n for n in range(first, layers) if (n + offset) % (step or 1) == 0)
        return sum(1 for n in sparse if n not in dense)

    def kinds(self, layers: int | None) -> list[str | None]:
        """The kind of attention of each layer, where config.json or its family tells."""
        listed = self.value("layer_types")
        if isinstance(listed, list) and all(isinstance(item, str) for item in listed):
            return listed[:layers]
        if not self.family or not layers or layers > _MOST_LAYERS:
            return []
        return list(self.family.kinds(self, layers))

    def _layer_types(self, layers: int | None) -> dict[str, int]:
        """Layers by kind of attention."""
        return dict(Counter(kind for kind in self.kinds(layers) if kind).most_common())

    def _mtp_layers(self) -> int | None:
        if self.value("use_mtp") is False:
            return 0
        announced = self.integer(
            "num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules"
        )
        return 0 if announced is None and self.family else announced

    def _rope(self, key: str) -> Mapping[str, Any]:
        """A table of RoPE; that of full attention where there is one for each kind of layer."""
        table = self.value(key)
        if not isinstance(table, Mapping):
            return {}
        full = table.get("full_attention")
        return full if isinstance(full, Mapping) else table

    def _rope_theta(self) -> float | None:
        theta: Any = self._rope("rope_parameters").get("rope_theta") or self.value("rope_theta")
        return float(theta) if type(theta) in (int, float) and abs(theta) < 1e30 else None

    def _rope_scaling(self) -> Mapping[str, Any] | None:
        """The scaling, or None where positions are not scaled."""
        table = self._rope("rope_scaling") or self._rope("rope_parameters")
        kind = table.get("rope_type") or table.get("type")
        if not isinstance(kind, str) or kind == "default":
            return None
        settings = {printable(k): _plain(v) for k, v in table.items() if k != "type"}
        return {**settings, "rope_type": printable(kind)}


def _numbers(listed: list[Any], layers: int) -> frozenset[int]:
    """Numbers of layers, without what is none."""
    return frozenset(n for n in listed if type(n) is int and 0 <= n < layers)


def _plain(value: Any) -> Any:
    """A setting as it is, if a manifest can hold it; null for anything odd."""
    if isinstance(value, list) and len(value) <= _MOST_VALUES:
        return [_plain(item) if not isinstance(item, list) else None for item in value]
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, bool) or (type(value) in (int, float) and abs(value) < 1e30):
        return value
    return None
