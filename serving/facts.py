"""What the rules may know of an artifact."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from registry.artifact import Manifest
from registry.checkpoint.architecture import Architecture
from registry.checkpoint.outline import Kind, Outline
from registry.checkpoint.quantization import quantization_config


@dataclass(frozen=True)
class ArtifactFacts:
    """An artifact, from its metadata alone.

    Attributes:
        name: ORG/NAME.
        digest: of the payload; empty where no one has hashed it yet.
        folder: where it lies, or will lie, on the machine that launches.
        architecture: from config.json.
        method: how it is quantized: `compressed-tensors`, `modelslim`, …, `none`.
        schemes: layers by scheme, for each layer kind.
        weight_bytes: of all tensors.
        chat_template: whether it has one.
        kinds: all weights by kind.
        config: config.json.
        group_size: weights that share a scale; None without groups.
        tensor_parallel: the TP size that its layout is bound to; None if any.
        rotated: whether rotations are part of it.
        shards: of its weights, and how many of their headers were read.
        base: what it was quantized from, as its provenance says; empty if that is silent.
    """

    name: str
    digest: str
    folder: str
    architecture: Architecture
    method: str
    schemes: Mapping[str, Mapping[str, int]]
    weight_bytes: int
    chat_template: bool
    kinds: tuple[Kind, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    group_size: int | None = None
    tensor_parallel: int | None = None
    rotated: bool = False
    shards: int = 0
    shards_read: int = 0
    base: str = ""

    @classmethod
    def of_outline(
        cls,
        outline: Outline,
        config: Mapping[str, Any],
        files: Collection[str],
        *,
        name: str,
        digest: str,
        folder: str,
        base: str = "",
    ) -> ArtifactFacts:
        """Collect the facts of a checkpoint that was outlined.

        Args:
            outline: of its weights.
            config: its config.json.
            files: the paths of its files.
            name: ORG/NAME.
            digest: of the payload, or empty.
            folder: where it lies, or will lie, on the machine that launches.
            base: what it was quantized from, or empty.
        """
        return cls(
            name=name,
            digest=digest,
            folder=folder,
            architecture=outline.architecture,
            method=outline.method,
            schemes=outline.schemes,
            weight_bytes=outline.weight_bytes,
            chat_template=any("chat_template" in path for path in files),
            kinds=outline.kinds,
            config=config,
            group_size=outline.group_size,
            tensor_parallel=outline.tensor_parallel,
            rotated=outline.rotated,
            shards=outline.shards,
            shards_read=outline.shards_read,
            base=base,
        )

    @property
    def text_config(self) -> Mapping[str, Any]:
        """The language model's part of config.json."""
        section = self.config.get("text_config")
        return section if isinstance(section, Mapping) else self.config

    @property
    def is_modelslim(self) -> bool:
        return self.method == "modelslim"

    @property
    def left_over(self) -> str:
        """The method of a `quantization_config` that a ModelSlim artifact should not have."""
        if not self.is_modelslim:
            return ""
        found = quantization_config(self.config)
        return str(found.get("quant_method") or "unknown") if found else ""

    @property
    def mtp_layers(self) -> int:
        """MTP layers whose weights are really there."""
        if not any(kind.component == "mtp" for kind in self.kinds):
            return 0
        return self.architecture.mtp_layers or 1

    def has_scheme(self, *schemes: str) -> bool:
        """Whether some layer has one of these schemes."""
        return any(scheme in counts for counts in self.schemes.values() for scheme in schemes)


def base_of(manifest: Manifest) -> str:
    """The base model's name, as a manifest's provenance says; empty if it does not."""
    base = manifest.provenance.get("base")
    if isinstance(base, Mapping):
        base = base.get("name") or base.get("reference")
    return base if isinstance(base, str) else ""
