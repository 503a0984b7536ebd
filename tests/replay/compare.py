"""Comparing a deployment with what qreg plans for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from registry.errors import UsageError
from registry.finding import ERROR
from serving.engines import open_engine
from serving.facts import ArtifactFacts
from serving.plan import Plan
from serving.releases import Release
from serving.resolver import compose_plan
from serving.wishes import Wishes
from tests.replay.deployment import METHOD, Deployment, method_of

# What is about room and sizes; other errors say that the artifact or a flag is unsound.
_OF_FIT = frozenset(
    {"memory", "devices", "divisibility", "layout-bound", "parallel", "context", "peer"}
)


@dataclass(frozen=True)
class Difference:
    """Something that qreg sees differently.

    Attributes:
        deployment: its name.
        what: the flag, or `own plan`, or `feasible`.
        theirs, ours: the values.
        reason: why qreg does it its way.
        excuse: whether no plan for this release could say it: the release's own tables forbid it.
    """

    deployment: str
    what: str
    theirs: str
    ours: str
    reason: str
    excuse: bool = False


@dataclass(frozen=True)
class Outcome:
    """Of one deployment: flags that were compared, and what differs."""

    deployment: Deployment
    compared: int
    differences: tuple[Difference, ...]

    def differs(self, *what: str) -> bool:
        """Whether something of these differs; without names, whether a flag does."""
        names = [d.what for d in self.differences if not d.excuse]
        others = ("own plan", "feasible")
        return any(n in what if what else n not in others for n in names)


def compare(row: Deployment, facts: ArtifactFacts, release: Release) -> Outcome:
    """Plan a deployment's artifact freely and with its sizes, and tell what differs."""
    try:
        asked = _plan(facts, row, row.wishes(), release)
    except UsageError as error:
        refused = Difference(row.name, "feasible", str(row.flags), "refused", error.message)
        return Outcome(row, 0, (refused,))
    own = _plan(facts, row, row.free(), release)
    flags = row.correctness()
    differences = [*_flags(row, facts, asked, release), *_fit(row, asked), *_own(row, own)]
    return Outcome(row, len(flags), tuple(differences))


def _plan(facts: ArtifactFacts, row: Deployment, wishes: Wishes, release: Release) -> Plan:
    engine = open_engine("vllm-ascend")
    return compose_plan(facts, wishes, engine, row.hardware, release=release.number, table=release)


def _flags(
    row: Deployment, facts: ArtifactFacts, plan: Plan, release: Release
) -> Iterator[Difference]:
    for name, theirs in row.correctness().items():
        flag = plan.flag("--speculative-config" if name == METHOD else f"--{name}")
        ours: Any = None
        if flag is not None:
            ours = True if flag.value is None else flag.value
            if name == METHOD:
                ours = method_of(json.loads(flag.value or "{}"))
        if ours == theirs:
            continue
        excuse = _excuse(name, theirs, facts, release)
        reason = excuse or (flag.reason if flag else _silent(name, facts, plan))
        yield Difference(row.name, name, str(theirs), str(ours), reason, bool(excuse))


def _excuse(name: str, theirs: Any, facts: ArtifactFacts, release: Release) -> str:
    """Why it cannot be right with the release; empty if it may be."""
    if name == "enable-expert-parallel" and not facts.architecture.is_moe:
        return "the model has no experts; the engine stops on the flag"
    if name == "quantization" and theirs == "ascend" and not facts.is_modelslim:
        return f"the artifact is {facts.method}; the flag reads ModelSlim's description"
    known = {
        "reasoning-parser": release.parsers.reasoning,
        "tool-call-parser": release.parsers.tool,
        "tokenizer-mode": release.tokenizer_modes,
    }
    if name in known and theirs not in known[name]:
        return f"vLLM {release.vllm} has none of that name"
    return ""


def _silent(name: str, facts: ArtifactFacts, plan: Plan) -> str:
    if name == METHOD:
        if not facts.mtp_layers:
            return "the artifact has no MTP layers"
        return "there is no room for MTP layers" if plan.errors else "qreg drafts nothing here"
    return "qreg's table of families says nothing of it"


def _fit(row: Deployment, plan: Plan) -> Iterator[Difference]:
    layout = (
        f"TP {row.tensor} × DP {row.data} × PP {row.pipeline}, {row.flags.get('max-model-len')}"
    )
    for finding in plan.findings:
        if finding.severity == ERROR and finding.id in _OF_FIT:
            yield Difference(row.name, "feasible", layout, "refused", finding.message)


def _own(row: Deployment, plan: Plan) -> Iterator[Difference]:
    for finding in plan.findings:
        if finding.severity == ERROR:
            what = f"{row.nodes} × {row.chip}"
            yield Difference(row.name, "own plan", what, "refused", finding.message)
