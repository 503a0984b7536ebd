"""What does not fit comes with the nearest changes that would."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from registry.config import Settings, load
from serving.engines import open_engine
from serving.facts import ArtifactFacts
from serving.hardware import parse_hardware
from serving.nearest import nearest
from serving.plan import Plan
from serving.releases import latest
from serving.wishes import Wishes
from tests.serving.twins import facts_of, plan


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({"HOME": str(tmp_path)})


def _nearest(facts: ArtifactFacts, chip: str, settings: Settings, *words: str) -> Plan:
    wishes = Wishes(arguments=words)
    engine, hardware = open_engine("vllm-ascend"), parse_hardware(chip)
    return nearest(plan(facts, chip, *words), facts, wishes, engine, hardware, latest(), settings)


def test_more_nodes(settings: Settings) -> None:
    made = _nearest(facts_of("DeepSeek-R1", "W8A8"), "A2", settings)
    (error,) = [e for e in made.errors if e.id == "memory"]
    assert "What would fit" in error.fix and "--nodes 2 (TP 8 × DP 2" in error.fix


def test_a_shorter_context(settings: Settings) -> None:
    words = (
        "-tp",
        "8",
        "-dp",
        "2",
        "--max-model-len",
        "163840",
        "--gpu-memory-utilization",
        "0.85",
    )
    made = _nearest(facts_of("DeepSeek-R1", "W8A8"), "A3", settings, *words)
    (error,) = [e for e in made.errors if e.id == "memory"]
    assert "a context of 65,536 tokens (-- --max-model-len 65536)" in error.fix


def test_another_size(settings: Settings) -> None:
    made = _nearest(facts_of("Qwen3-32B", "W8A8"), "A2", settings, "-tp", "3")
    (error,) = [e for e in made.errors if e.id == "divisibility"]
    assert "instead" in error.fix


def test_a_base_without_a_registry_to_look_in(settings: Settings) -> None:
    facts = replace(facts_of("DeepSeek-R1", "W8A8"), base="deepseek-ai/DeepSeek-R1")
    (error,) = [e for e in _nearest(facts, "A2", settings).errors if e.id == "memory"]
    assert "--nodes 2" in error.fix


def test_what_fits_is_left_as_it_is(settings: Settings) -> None:
    facts = facts_of("Qwen3-32B", "W8A8")
    assert _nearest(facts, "A2", settings).errors == ()
