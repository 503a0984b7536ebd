"""What the rules may know of an artifact and of the user's wishes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from registry.artifact import Manifest
from registry.checkpoint.architecture import Architecture


@dataclass(frozen=True)
class ArtifactFacts:
    """An artifact, from its manifest alone.

    Attributes:
        name: ORG/NAME.
        digest: of the payload.
        folder: where it lies, or will lie, on this machine.
        architecture: from config.json.
        method: how it is quantized: `compressed-tensors`, `modelslim`, …, `none`.
        schemes: layers by scheme, for each layer kind.
        weight_bytes: of all tensors.
        chat_template: whether it has one.
    """

    name: str
    digest: str
    folder: str
    architecture: Architecture
    method: str
    schemes: Mapping[str, Mapping[str, int]]
    weight_bytes: int
    chat_template: bool

    @classmethod
    def of(cls, manifest: Manifest, folder: str) -> ArtifactFacts:
        """Collect the facts of a manifest."""
        known = {item.name for item in fields(Architecture)}
        architecture: dict[str, Any] = dict.fromkeys(known)
        architecture.update({k: v for k, v in manifest.architecture.items() if k in known})
        architecture["architectures"] = tuple(architecture["architectures"] or ())
        return cls(
            name=manifest.name,
            digest=str(manifest.digest),
            folder=folder,
            architecture=Architecture(**architecture),
            method=str(manifest.quantization.get("method", "none")),
            schemes=manifest.quantization.get("schemes", {}),
            weight_bytes=int(manifest.footprint.get("weights", 0)),
            chat_template=any("chat_template" in entry.path for entry in manifest.files),
        )


@dataclass(frozen=True)
class Wishes:
    """What the user asks of the launch.

    Attributes:
        host: address to listen on.
        port: to listen on.
        trust_remote_code: whether the model's own Python code may run.
        arguments: the engine's own; they win over everything.
        environment: variables of the user; those that a plan would set win over the plan's.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    trust_remote_code: bool = False
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
