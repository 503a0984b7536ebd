"""What a conversion writes: which tensors stay, go and come, and the documents beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry.checkpoint import Tensor


@dataclass(frozen=True)
class Conversion:
    """A conversion that may be carried out.

    Attributes:
        drop: tensors that the other format does without; all of their bytes must be zero.
        add: tensors of zeros that it has besides, by name, each of the type and shape of one that
            is there and in its shard.
        config: the new config.json.
        description: ModelSlim's description; None for a format without one.
        stem: shards are called `STEM-00001-of-00002.safetensors`.
        single: whether a single shard is called `STEM.safetensors` and has no index.
        stale: files beside the weights that belong to the format left behind.
    """

    drop: frozenset[str]
    add: Mapping[str, Tensor]
    config: Mapping[str, Any]
    description: Mapping[str, Any] | None
    stem: str
    single: bool
    stale: frozenset[str] = frozenset()

    def shard_names(self, shards: tuple[str, ...]) -> dict[str, str]:
        """The new name of each shard."""
        if len(shards) == 1 and self.single:
            return {shards[0]: f"{self.stem}.safetensors"}
        count = len(shards)
        return {
            shard: f"{self.stem}-{number:05}-of-{count:05}.safetensors"
            for number, shard in enumerate(shards, 1)
        }

    @property
    def index_name(self) -> str:
        """The file that says which shard holds which tensor."""
        return f"{self.stem}.safetensors.index.json"
