"""Twins of the artifacts that deployments ran, from their names and geometry."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from serving.facts import ArtifactFacts
from tests.replay.deployment import Deployment
from tests.twins.outline import outline_twin
from tests.twins.rare import RARE
from tests.twins.schemes import SCHEMES, Scheme

_ALL: Mapping[str, Scheme] = {**SCHEMES, **RARE}
_FILES = ("config.json", "chat_template.jinja", "model.safetensors")
# Versions of a model that differ from its geometry in what follows, as their model cards say.
_VERSIONS = ((re.compile(r"(?i)qwen3-.*2507"), {"max_position_embeddings": 262144}),)
# Without DSA a cache of eight bits is declared in another way.
_GQA_C8 = {"kv_cache_type": "C8"}


class Artifacts:
    """Makes one twin of each artifact.

    Args:
        architectures: config.json by the name that rows give.
        deployments: all of them: an artifact has MTP layers if one of them drafts with them.
    """

    def __init__(self, architectures: Mapping[str, Any], deployments: Iterable[Deployment]) -> None:
        self._architectures = architectures
        self._drafting = {row.model for row in deployments if row.drafts_by_itself}
        self._made: dict[tuple[str, str], ArtifactFacts] = {}

    def knows(self, row: Deployment) -> bool:
        """Whether the geometry of a deployment's model is known."""
        return row.architecture in self._architectures

    def of(self, row: Deployment) -> ArtifactFacts:
        """The facts of a deployment's artifact.

        Raises:
            KeyError: there is no twin of its architecture or its scheme.
        """
        scheme = scheme_of(row)
        key = (row.model, scheme)
        if key not in self._made:
            self._made[key] = self._make(row, scheme)
        return self._made[key]

    def _make(self, row: Deployment, scheme: str) -> ArtifactFacts:
        config = dict(self._architectures[row.architecture])
        bound = re.search(r"(?i)tp(\d+)", row.model) if scheme == "W8A8SC" else None
        mtp = row.model in self._drafting or "mtp" in row.model.lower() or row.method == "none"
        for pattern, changes in _VERSIONS:
            if pattern.search(row.model):
                config.update(changes)
        recipe = _ALL[scheme]
        if "fa_quant_type" in recipe.keys and "index_topk" not in config:
            kept = {k: v for k, v in recipe.keys.items() if not k.endswith("quant_type")}
            recipe = replace(recipe, keys={**kept, **_GQA_C8})
        outline, config = outline_twin(config, recipe, ranks=int(bound[1]) if bound else 0, mtp=mtp)
        name = "/".join(row.model.rstrip("/").split("/")[-2:])
        return ArtifactFacts.of_outline(
            outline, config, _FILES, name=name, digest="", folder=f"/models/{name}"
        )


def scheme_of(row: Deployment) -> str:
    """The scheme of the artifact: what the row says, and what its name says more exactly."""
    name, scheme = row.model.lower(), row.scheme.upper()
    if row.method == "none":
        return "FLOAT"
    if row.method == "fp8":
        return "FP8"
    if row.method == "compressed-tensors":
        # Kimi K2 Thinking and its like are published with four-bit experts.
        return "INT8" if "w8a8" in name or scheme.startswith(("W8A8", "INT8")) else "W4A16"
    if "mxfp" in name or "MXFP" in scheme:
        return "W4A4_MXFP4" if "w4a4" in name or "W4A4" in scheme else "W8A8_MXFP8"
    if scheme in _ALL:
        return scheme
    return "W4A8" if "W4A8" in scheme or "w4a8" in name else "W8A8"
