"""A checkpoint as its metadata: config.json, the quantization description, all tensors' headers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from registry.checkpoint.safetensors import Tensor
from registry.errors import QregError
from registry.folder import Entry


@dataclass(frozen=True)
class Fault:
    """Something of a checkpoint that cannot be read, is missing or contradicts itself.

    Attributes:
        kind: `path`, `link`, `config`, `weights`, `shard`, `index`, `duplicate` or `description`.
        where: the file or tensor.
        error: what `open_checkpoint` raises for it.
        verdict: for a shard, `BrokenShard.verdict`.
    """

    kind: str
    where: str
    error: QregError
    verdict: str = ""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint's metadata says.

    Attributes:
        label: where it was read from, for messages.
        entries: all files, good and bad.
        config: config.json; empty where it could not be read.
        tensors: every tensor by name.
        header_sizes: bytes before the data, by shard.
        description: ModelSlim's `quant_model_description*.json`, or None.
        description_path: the file that holds it.
        index_paths: the `*.safetensors.index.json` files.
        unindexed: tensors of indexed shards that no index names.
        unlisted: safetensors files beside the shards that the index does not name.
        folder: where it lies on this machine, if it does.
        ranks: how many ranks an engine's own layout was saved for, a file or more each; then
            `tensors` are those of rank 0. 0 for the usual layout.
        faults: what is wrong with it; empty for a checkpoint that `open_checkpoint` returns.
    """

    label: str
    entries: tuple[Entry, ...]
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    header_sizes: Mapping[str, int] = field(default_factory=dict)
    description: Mapping[str, Any] | None = None
    description_path: str | None = None
    index_paths: tuple[str, ...] = ()
    unindexed: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    folder: Path | None = None
    ranks: int = 0

    @cached_property
    def files(self) -> Mapping[str, int]:
        """Sizes in bytes by path, of all good files."""
        return {entry.path: entry.size for entry in self.entries if not entry.problem}

    @cached_property
    def shards(self) -> tuple[str, ...]:
        """The safetensors files that hold the weights."""
        return tuple(sorted(self.header_sizes))

    @cached_property
    def weight_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.size for tensor in self.tensors.values())

    @property
    def text_config(self) -> Mapping[str, Any]:
        """The section of config.json that describes the language model; the whole of it if none."""
        section = self.config.get("text_config")
        return section if isinstance(section, Mapping) else self.config
