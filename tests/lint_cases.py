"""Small, sound artifacts for the tests of lint, which changes make faulty.

`made(modelslim, drop("lm_head"))` is a recipe; called with a folder it writes the artifact there
and returns where it lies. Names, shapes and parts of tensors are those of the twins of real models.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.twins import ARCHITECTURES
from tests.twins.modules import parts_of
from tests.twins.parts import Part
from tests.twins.schemes import SCHEMES, stored
from tests.twins.write import write_sparse_shard

Stored = tuple[str, tuple[int, ...]]  # dtype, shape
Artifact = Callable[[Path], Path]

_SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 96,
}
_EXPERTS = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
DENSE: Mapping[str, Any] = {**ARCHITECTURES["Qwen3-8B"], **_SMALL}
MOE: Mapping[str, Any] = {**ARCHITECTURES["Qwen3-235B-A22B"], **_SMALL, **_EXPERTS}
# One dense layer, one with experts, and one more for multi-token prediction.
MTP: Mapping[str, Any] = {
    **ARCHITECTURES["DeepSeek-R1"],
    **{key: value for key, value in _SMALL.items() if key != "head_dim"},
    "num_key_value_heads": 4,
    "moe_intermediate_size": 32,
    "n_routed_experts": 8,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}
_QWEN3_5 = ARCHITECTURES["Qwen3.5-35B-A3B"]
VISION: Mapping[str, Any] = {
    **_QWEN3_5,
    "text_config": {
        **_QWEN3_5["text_config"],
        **_SMALL,
        **_EXPERTS,
        "shared_expert_intermediate_size": 32,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
        "layer_types": ["linear_attention", "full_attention"],
    },
    "vision_config": {
        **_QWEN3_5["vision_config"],
        "depth": 1,
        "hidden_size": 32,
        "intermediate_size": 48,
        "out_hidden_size": 64,
        "patch_size": 2,
        "num_position_embeddings": 16,
    },
}
_SIDE_FILES = {
    "tokenizer.json": b'{"model": {"type": "BPE"}}',
    "tokenizer_config.json": b'{"model_max_length": 64}',
    "generation_config.json": b'{"do_sample": true}',
    "chat_template.jinja": b"{{ messages }}",
}


@dataclass
class Model:
    """An artifact in the making.

    Attributes:
        config: config.json.
        parts: its linear layers by name, as the float model has them.
        tensors: what the shards hold.
        description: ModelSlim's; None for another format.
        files: contents of all other files by path.
        prefix: of the shards' names.
        shards: how many there are.
        indexed: whether an index goes with them.
        finishing: what is done to the folder at the end.
    """

    config: dict[str, Any]
    parts: Mapping[str, Part]
    tensors: dict[str, Stored]
    description: dict[str, Any] | None = None
    files: dict[str, bytes] = field(default_factory=lambda: dict(_SIDE_FILES))
    prefix: str = "model"
    shards: int = 2
    indexed: bool = True
    finishing: list[Callable[[Path], object]] = field(default_factory=list)

    def write(self, folder: Path) -> Path:
        """Write it as a folder whose files everyone may read."""
        folder.mkdir(parents=True)
        files = {"config.json": json.dumps(self.config).encode(), **self.files}
        if self.description is not None:
            files["quant_model_description.json"] = json.dumps(self.description).encode()
        names, weight_map = list(self.tensors), {}
        size = -(-len(names) // self.shards)
        for number in range(self.shards):
            part = names[number * size : (number + 1) * size]
            shard = f"{self.prefix}-{number + 1:05d}-of-{self.shards:05d}.safetensors"
            weight_map.update(dict.fromkeys(part, shard))
            write_sparse_shard(folder / shard, {name: self.tensors[name] for name in part})
        if self.indexed:
            index = json.dumps({"metadata": {}, "weight_map": weight_map})
            files[f"{self.prefix}.safetensors.index.json"] = index.encode()
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        for file in folder.rglob("*"):
            file.chmod(0o755 if file.is_dir() else 0o644)
        for finish in self.finishing:
            finish(folder)
        return folder

    def requantize(self, pattern: str, scheme: str) -> None:
        """Store the matching layers in a scheme of the twins, and describe them so."""
        for name, part in self.parts.items():
            if re.search(pattern, name):
                suffixes = {suffix: (dtype, shape) for suffix, dtype, shape in stored(part, scheme)}
                self.replace(name, suffixes, scheme)

    def replace(self, layer: str, suffixes: Mapping[str, Stored], kind: str) -> None:
        """Store other tensors for a layer."""
        for name in [n for n in self.tensors if n.rpartition(".")[0] == layer]:
            self.remove(name)
        for suffix, stored_as in suffixes.items():
            self.add(f"{layer}.{suffix}", stored_as, kind)

    def add(self, name: str, stored_as: Stored, kind: str = "FLOAT") -> None:
        """Add a tensor."""
        self.tensors[name] = stored_as
        if self.description is not None:
            self.description[name] = kind

    def remove(self, name: str) -> None:
        """Remove a tensor and what is said of it."""
        del self.tensors[name]
        if self.description is not None:
            self.description.pop(name, None)


Base = Callable[[], Model]
Change = Callable[[Model], None]


def model_of(config: Mapping[str, Any], scheme: str) -> Model:
    """A sound artifact of a config.json in a scheme of the twins."""
    recipe = SCHEMES[scheme]
    model = Model(
        config=deepcopy({**config, **recipe.config}),
        parts={part.name: part for part in parts_of(config) if part.linear},
        tensors={},
        description=deepcopy(dict(recipe.keys)) if recipe.description else None,
        prefix=recipe.shard_name,
    )
    for part in parts_of(config):
        if part.linear:
            kind = recipe.scheme_of(part)
            for suffix, dtype, shape in stored(part, kind):
                model.add(f"{part.name}.{suffix}", (dtype, shape), kind)
        else:
            model.add(part.name, (part.dtype, part.shape))
    return model


def modelslim() -> Model:
    """Dense; attention in static W8A8, the rest in W8A8_DYNAMIC, as ModelSlim v1 writes it."""
    return model_of(DENSE, "W8A8")


def compressed() -> Model:
    """Dense, INT8, as LLM-Compressor writes it."""
    return model_of(DENSE, "INT8")


def floating() -> Model:
    """Dense, bfloat16."""
    return model_of(DENSE, "FLOAT")


def moe() -> Model:
    """Two layers of eight experts; attention in static W8A8, experts in W8A8_DYNAMIC."""
    return model_of(MOE, "W8A8")


def mtp() -> Model:
    """DeepSeek's kind: latent attention, a dense layer, one with experts, and an MTP layer."""
    return model_of(MTP, "W8A8_DYNAMIC")


def vision() -> Model:
    """Qwen3.5's kind: linear and full attention, experts, a vision tower, MTP weights."""
    return model_of(VISION, "W8A8_DYNAMIC")


def thinking() -> Model:
    """Kimi-K2-Thinking's way: experts in compressed-tensors' W4A16, all else float."""
    model = model_of(MOE, "FLOAT")
    pack_experts(32)(model)
    return model


def pack_experts(group: int) -> Change:
    """Experts as LLM-Compressor's W4A16 packs them, `group` weights to a scale."""

    def change(model: Model) -> None:
        for name, part in model.parts.items():
            if ".experts." in name:
                rows, columns = part.shape
                packed = {
                    "weight_packed": ("I32", (rows, columns // 8)),
                    "weight_scale": ("BF16", (rows, max(1, columns // group))),
                    "weight_shape": ("I64", (2,)),
                }
                model.replace(name, packed, "")
        weights = {"num_bits": 4, "type": "int", "strategy": "group", "symmetric": True}
        model.config["quantization_config"] = {
            "quant_method": "compressed-tensors",
            "format": "pack-quantized",
            "ignore": ["lm_head", "re:.*self_attn.*", "re:.*mlp\\.gate$"],
            "config_groups": {
                "group_0": {"targets": ["Linear"], "weights": {**weights, "group_size": group}}
            },
        }

    return change


def made(base: Base, *changes: Change) -> Artifact:
    """The recipe of an artifact: a sound model, changed."""

    def write(folder: Path) -> Path:
        model = base()
        for change in changes:
            change(model)
        return model.write(folder)

    return write
