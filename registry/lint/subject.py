"""What checks look at: an artifact's metadata, and the target that it is meant for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from registry.artifact import Manifest
from registry.checkpoint import Checkpoint, Tensor
from registry.checkpoint.architecture import Architecture
from registry.checkpoint.components import component_of
from registry.checkpoint.disguise import HEAD, disguise_of
from registry.checkpoint.facts import Facts
from registry.checkpoint.quantization import Layer, Quantization, quantization_config
from registry.checkpoint.quantization.modelslim import described_tensors
from registry.errors import IncompatibleError, IntegrityError, QregError, UsageError
from registry.lint.target import Target
from registry.listing import read_carried_manifest
from registry.source import Source

# Small JSON and YAML beside the weights; larger ones are not settings.
MAX_SETTINGS = 4 * 2**20
_HOLDING_TENSORS = ("path", "link", "weights", "shard", "index")  # kinds of faults


@dataclass(frozen=True)
class Subject:
    """An artifact under examination.

    Attributes:
        facts: what its metadata tells.
        source: its bytes, for the few checks that look into small files.
        target: what it shall run on.
    """

    facts: Facts
    source: Source
    target: Target
    _texts: dict[str, str | None] = field(default_factory=dict, repr=False)

    @property
    def checkpoint(self) -> Checkpoint:
        return self.facts.checkpoint

    @property
    def architecture(self) -> Architecture:
        return self.facts.architecture

    @property
    def quantization(self) -> Quantization:
        return self.facts.quantization

    @property
    def files(self) -> Mapping[str, int]:
        """Sizes in bytes by path."""
        return self.checkpoint.files

    @property
    def is_local(self) -> bool:
        """Whether the files lie on this machine, so that a look into each costs nothing."""
        return self.source.folder is not None

    @property
    def is_modelslim(self) -> bool:
        return self.quantization.method == "modelslim"

    @cached_property
    def config_of_quantization(self) -> Mapping[str, Any]:
        """config.json's quantization_config; empty if there is none."""
        return quantization_config(self.checkpoint.config)

    @cached_property
    def described(self) -> Mapping[str, str]:
        """The types of the tensors that ModelSlim's description names; empty without one."""
        return described_tensors(self.checkpoint.description or {})

    @cached_property
    def embeddings(self) -> tuple[Tensor, ...]:
        """The tables of token embeddings, without those of vision and of MTP layers."""
        return tuple(
            tensor
            for name, tensor in self.checkpoint.tensors.items()
            if "embed" in name
            and name.endswith(("embed_tokens.weight", "embed.weight", "tok_embeddings.weight"))
            and ".layers." not in name
            and component_of(name) == "embedding"
        )

    @cached_property
    def layers(self) -> Mapping[str, Layer]:
        """Linear layers by module."""
        return {layer.module: layer for layer in self.quantization.layers}

    @property
    def manifest(self) -> Manifest | None:
        """The manifest that it carries, if that can be read."""
        found = self._carried
        return found if isinstance(found, Manifest) else None

    @property
    def manifest_error(self) -> QregError | None:
        """Why the manifest that it carries cannot be read."""
        found = self._carried
        return found if isinstance(found, QregError) else None

    @cached_property
    def _carried(self) -> Manifest | QregError | None:
        try:
            return read_carried_manifest(self.source)
        except (IntegrityError, IncompatibleError, UsageError) as error:
            return error

    @cached_property
    def disguises(self) -> Mapping[str, str]:
        """What the files are, by their first bytes, that are no sound shards."""
        sound = set(self.checkpoint.shards)
        kinds = {
            path: disguise_of(self.source.read(path, 0, min(HEAD, size)))
            for path, size in self.files.items()
            if path not in sound
        }
        return {path: kind for path, kind in kinds.items() if kind}

    @cached_property
    def lacks_tensors(self) -> bool:
        """Whether files that hold tensors are known to be missing or cannot be read."""
        return any(fault.kind in _HOLDING_TENSORS for fault in self.checkpoint.faults)

    @cached_property
    def lacks_description(self) -> bool:
        """Whether there is a description of ModelSlim's that cannot be read."""
        return any(fault.kind == "description" for fault in self.checkpoint.faults)

    def disguised(self, kind: str) -> list[str]:
        """Files of a kind: shards whose headers failed, and on this machine all others."""
        found = [
            fault.where
            for fault in self.checkpoint.faults
            if fault.kind == "shard" and fault.verdict == kind
        ]
        if self.is_local:
            found += [path for path, seen in self.disguises.items() if seen == kind]
        return list(dict.fromkeys(found))

    def text(self, path: str) -> str | None:
        """A small file's text, read once; None if it is not there, too large, or no UTF-8."""
        if path not in self._texts:
            self._texts[path] = self._read(path)
        return self._texts[path]

    def _read(self, path: str) -> str | None:
        if not 0 <= self.files.get(path, -1) <= MAX_SETTINGS:
            return None
        try:
            return self.source.read(path, 0, self.files[path]).decode("utf-8")
        except UnicodeDecodeError:
            return None

    def settings(self, path: str) -> Mapping[str, Any]:
        """A small JSON object; empty if there is none."""
        text = self.text(path)
        try:
            value = json.loads(text) if text is not None else {}
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}
