"""The table of families: what their models need beyond what their files say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from registry.claims import CLAIMED
from serving.facts import ArtifactFacts

_TABLE = Path(__file__).parent / "families.yaml"


@dataclass(frozen=True)
class Said:
    """A value of the table, and where it is known from."""

    value: Any
    source: str


def family_says(facts: ArtifactFacts, key: str) -> Said | None:
    """What the table says of an artifact under a key; None if nothing."""
    types = {facts.architecture.model_type, facts.text_config.get("model_type")}
    names = f"{facts.name} {facts.base}"
    for row in _rows():
        if key not in row or types.isdisjoint(row["types"]):
            continue
        if "names" in row and not re.search(row["names"], names):
            continue
        by_base = "names" in row and not re.search(row["names"], facts.name)
        return Said(row[key], row["source"] + (f"; the base is {CLAIMED}" if by_base else ""))
    return None


@dataclass(frozen=True)
class Stretch:
    """How far YaRN may stretch a model's positions.

    Attributes:
        trained: positions that it was trained with.
        most: positions that the authors vouch for.
        source: where they say so.
    """

    trained: int
    most: int
    source: str


def stretch_of(facts: ArtifactFacts) -> Stretch | None:
    """What the table says of longer contexts; None where it says nothing."""
    said, native = family_says(facts, "yarn"), facts.architecture.max_positions
    if said is None or not native:
        return None
    given = facts.text_config.get("original_max_position_embeddings")
    trained = given if type(given) is int else said.value.get("trained", {}).get(native, native)
    return Stretch(trained, trained * said.value["factor"], said.source)


def known_types() -> frozenset[str]:
    """All model types that the table has rows for."""
    return frozenset(kind for row in _rows() for kind in row["types"])


@lru_cache(maxsize=1)
def _rows() -> tuple[Mapping[str, Any], ...]:
    import yaml

    rows: list[Mapping[str, Any]] = yaml.safe_load(_TABLE.read_text(encoding="utf-8"))
    return tuple(rows)
