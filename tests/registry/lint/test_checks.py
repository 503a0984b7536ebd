"""Every check of the catalogue catches what it is for, and lets its near miss pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.finding import INFO, Finding
from registry.lint import Target, lint
from registry.lint.catalogue import BY_ID, CATALOGUE
from registry.source import LocalSource
from tests.lint_cases import (
    Artifact,
    Base,
    compressed,
    floating,
    made,
    modelslim,
    moe,
    thinking,
    vision,
)
from tests.lint_cases import mtp as with_mtp
from tests.registry.lint.cases import (
    code,
    config,
    description,
    dtypes,
    files,
    layers,
    layouts,
    memory,
    mtp,
    programs,
    recipe,
    shards,
    sizes,
    structure,
    support,
)
from tests.registry.lint.cases.case import Case
from tests.registry.lint.cases.deepseek_v4 import deepseek_v4

CASES: dict[str, list[Case]] = {
    **shards.CASES,
    **files.CASES,
    **programs.CASES,
    **description.CASES,
    **config.CASES,
    **code.CASES,
    **layers.CASES,
    **mtp.CASES,
    **structure.CASES,
    **sizes.CASES,
    **dtypes.CASES,
    **support.CASES,
    **layouts.CASES,
    **recipe.CASES,
    **memory.CASES,
}
SOUND = [modelslim, compressed, floating, moe, with_mtp, vision, thinking, deepseek_v4]
ROWS = [
    pytest.param(identifier, case, id=f"{identifier}: {case.name}")
    for identifier, cases in CASES.items()
    for case in cases
]


def findings(artifact: Artifact, folder: Path, target: Target | None) -> tuple[Finding, ...]:
    return lint(LocalSource(artifact(folder / "artifact")), target)[1]


def test_every_check_has_a_case() -> None:
    assert CASES.keys() == BY_ID.keys()
    assert len(BY_ID) == len(CATALOGUE), "two checks have one id"


@pytest.mark.parametrize("base", SOUND)
def test_a_sound_model_has_no_findings(base: Base, tmp_path: Path) -> None:
    assert findings(made(base), tmp_path, None) == ()


@pytest.mark.parametrize(("identifier", "case"), ROWS)
def test_the_fault_is_caught(identifier: str, case: Case, tmp_path: Path) -> None:
    found = [f for f in findings(case.faulty, tmp_path, case.target) if f.id == identifier]
    graded = [finding for finding in found if finding.severity == case.severity]
    assert graded, found
    finding = graded[0]
    if case.where is not None:
        assert finding.where == case.where
    assert case.says in finding.message
    assert finding.fix or case.severity == INFO
    assert case.not_fixed_by is None or case.not_fixed_by not in finding.fix


@pytest.mark.parametrize(("identifier", "case"), ROWS)
def test_the_near_miss_passes(identifier: str, case: Case, tmp_path: Path) -> None:
    target = case.sound_target or case.target
    found = [f for f in findings(case.sound, tmp_path, target) if f.id == identifier]
    assert [finding for finding in found if finding.severity != case.passes_with] == []
