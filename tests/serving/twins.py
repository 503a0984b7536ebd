"""Plans of twins: real models' names and shapes in memory, the real release table, no NPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from serving.engines import open_engine
from serving.facts import ArtifactFacts
from serving.hardware import parse_hardware
from serving.plan import Plan
from serving.releases import latest, open_release
from serving.resolver import compose_plan
from serving.wishes import Wishes
from tests.twins import ARCHITECTURES, SCHEMES
from tests.twins.outline import outline_twin
from tests.twins.rare import RARE

Change = Callable[[dict[str, Any]], None]
_FILES = ("config.json", "chat_template.jinja")


@lru_cache(maxsize=64)
def facts_of(model: str, scheme: str, *, mtp: bool = True, ranks: int = 0) -> ArtifactFacts:
    """The facts of a twin; see `tests.twins`."""
    recipe = {**SCHEMES, **RARE}[scheme]
    outline, config = outline_twin(ARCHITECTURES[model], recipe, mtp=mtp, ranks=ranks)
    return _facts(model, outline, config)


def changed(model: str, scheme: str, config: Mapping[str, Any]) -> ArtifactFacts:
    """The facts of a twin whose config.json says something else."""
    recipe = {**SCHEMES, **RARE}[scheme]
    outline, whole = outline_twin({**ARCHITECTURES[model], **config}, recipe)
    return _facts(model, outline, whole)


def _facts(model: str, outline: Any, config: Mapping[str, Any]) -> ArtifactFacts:
    name = f"org/{model}"
    return ArtifactFacts.of_outline(
        outline, config, _FILES, name=name, digest="", folder=f"/models/{model}"
    )


def plan(facts: ArtifactFacts, chip: str, *words: str, release: str = "", **wishes: Any) -> Plan:
    """The plan for a twin on one or more nodes of a chip."""
    table = open_release(release) if release else latest()
    return compose_plan(
        facts,
        Wishes(arguments=words, **wishes),
        open_engine("vllm-ascend"),
        parse_hardware(chip),
        release=table.number,
        table=table,
    )


def said(plan: Plan) -> dict[str, str]:
    """Errors and warnings by id: message and fix."""
    return {f.id: f"{f.message} {f.fix}" for f in plan.findings}
