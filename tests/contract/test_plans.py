"""Every plan for every architecture, chip and scheme is taken by the real code, or refused by us.

A refusal of ours must be one that the real code or the release's tables confirm: a scheme without a
kernel, a model that is larger than the machine.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from serving.engines.vllm_ascend import VllmAscend
from serving.facts import ArtifactFacts
from serving.hardware import profile
from serving.nodes.place import Place, settled
from serving.plan import Plan
from serving.releases import latest
from serving.resolver import compose_plan
from serving.wishes import Wishes
from tests.contract.folders import write_folder
from tests.contract.oracle import Case, Verdict, check
from tests.twins import ARCHITECTURES, SCHEMES
from tests.twins.outline import outline_twin

pytestmark = pytest.mark.e2e

CHIPS = ("A2", "A3", "310P")
USED = ("W8A8", "W8A8_DYNAMIC", "W4A8", "INT8")
# What we may refuse for, confirmed by the release's own tables or plain arithmetic. Kernels
# are looked for when weights are loaded, so that the configuration alone takes some of these.
CONFIRMED = {"memory", "scheme", "method", "model-type"}
_NODES = (1, 2, 4, 8)


def plan_of(model: str, scheme: str, chip: str, folder: Path) -> Plan:
    """The plan on the fewest nodes that are enough, or the refusal for the most."""
    outline, config = outline_twin(ARCHITECTURES[model], SCHEMES[scheme])
    description = {"version": "1.0.0"} if SCHEMES[scheme].description else None
    write_folder(folder, {**config, "rms_norm_eps": 1e-6, "hidden_act": "silu"}, description)
    facts = ArtifactFacts.of_outline(
        outline,
        config,
        ("chat_template.jinja",),
        name=f"org/{model}",
        digest="",
        folder=str(folder),
    )
    plan: Plan | None = None
    for nodes in _NODES:
        wishes = Wishes(nodes=nodes, address="127.0.0.1")
        plan = compose_plan(
            facts, wishes, VllmAscend(), profile(chip), release=latest().number, table=latest()
        )
        if plan.fits or "memory" not in {finding.id for finding in plan.errors}:
            break
    assert plan is not None
    return settled(plan, 0, Place("127.0.0.1", "lo", "127.0.0.1"), {}) if plan.nodes > 1 else plan


def test_every_plan_is_taken_by_the_real_code(tmp_path: Path) -> None:
    cases: dict[str, Case] = {}
    refused: dict[str, set[str]] = {}
    for model in ARCHITECTURES:
        for scheme in USED:
            for chip in CHIPS:
                name = f"{model} {scheme} {chip}"
                folder = tmp_path / f"{model}-{scheme}"
                plan = plan_of(model, scheme, chip, folder)
                if plan.fits:
                    words = plan.argv[plan.argv.index("serve") + 1 :]
                    cases[name] = Case(str(folder), tuple(words), plan.env, chip)
                else:
                    refused[name] = {finding.id for finding in plan.errors}
    assert len(cases) > len(ARCHITECTURES) * 6
    verdicts = dict(zip(cases, check(cases.values(), log=tmp_path / "log"), strict=True))
    wrong = {name: verdict for name, verdict in verdicts.items() if not verdict.ok}
    assert not wrong, "\n".join(f"{name}: {verdict}" for name, verdict in wrong.items())
    unconfirmed = {name: ids - CONFIRMED for name, ids in refused.items() if ids - CONFIRMED}
    assert not unconfirmed


def test_a_plan_that_is_spoiled_is_refused(tmp_path: Path) -> None:
    """The oracle is not merely polite: one wrong flag in a good plan is noticed."""
    plan = plan_of("Qwen3-235B-A22B", "W8A8", "A3", tmp_path)
    spoiled = tuple(
        replace(flag, value="3") if flag.name == "--tensor-parallel-size" else flag
        for flag in plan.flags
    )
    words = replace(plan, flags=spoiled).argv
    words = words[words.index("serve") + 1 :]
    (verdict,) = check([Case(str(tmp_path), tuple(words), plan.env, "A3")])
    assert verdict != Verdict(True)
