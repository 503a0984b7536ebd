"""From a reference to a plan: collect facts, fit, apply the engine's rules and checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from registry.config import Settings
from registry.errors import IncompatibleError, NotFoundError
from registry.finding import SEVERITIES, WARNING, Finding
from registry.progress import Observer, ignore
from serving.arguments import override, without
from serving.collect import collect_facts
from serving.engines import Engine, engine_for, open_engine
from serving.evidence.lookup import measured_overheads, with_proofs
from serving.facts import ArtifactFacts
from serving.hardware import Detected, Hardware, detect, narrow, parse_hardware
from serving.nearest import nearest
from serving.plan import Plan
from serving.releases import Release, latest, nearest_release, open_release, pairing_faults
from serving.rules.situation import Situation
from serving.wishes import Wishes
from toolchains import find_toolchain


def make_plan(
    text: str,
    wishes: Wishes,
    settings: Settings,
    *,
    engine: str | None = None,
    hardware: str | None = None,
    devices: str | None = None,
    release: str | None = None,
    observe: Observer = ignore,
) -> Plan:
    """Plan the launch of a reference; nothing is moved or started.

    Args:
        text: a reference, on this machine or elsewhere.
        wishes: of the user.
        settings: where things are looked for.
        engine: its name; by default the one for the hardware.
        hardware: a profile's name; by default what this machine has.
        devices: numbers of the devices to use, `0-7` or `0,2,4`; by default all.
        release: of vLLM Ascend; by default the installed one, else the newest with a table.
        observe: is told which sources were asked, and which were passed over.

    Raises:
        UsageError, NotFoundError, IntegrityError: the reference or the wishes are unsound.
    """
    seen = _sighting(hardware, devices, engine)
    chosen = open_engine(engine or engine_for(seen.hardware))
    facts = collect_facts(text, settings, observe)
    python, version, packages, missing = _interpreter(chosen, settings)
    table, doubts = _release(chosen, release, version)
    if hardware is not None:
        missing = ()  # planned for elsewhere; what is installed here does not matter
    elif table is not None:
        missing += pairing_faults(table, packages)
    number = table.number if table else version
    if wishes.nodes == 1:  # what one machine has on record, the others do not: plans must agree
        measured = measured_overheads(settings, chosen, number, seen.hardware)
        wishes = replace(wishes, measured=measured)
    plan = compose_plan(
        facts,
        wishes,
        chosen,
        seen.hardware,
        python=python,
        release=number,
        table=table,
        extra=(*seen.findings, *missing, *doubts),
    )
    plan = nearest(plan, facts, wishes, chosen, seen.hardware, table, settings)
    return with_proofs(plan, settings)


def compose_plan(
    facts: ArtifactFacts,
    wishes: Wishes,
    engine: Engine,
    hardware: Hardware,
    *,
    python: Path = Path("python3"),
    release: str = "",
    table: Release | None = None,
    extra: tuple[Finding, ...] = (),
) -> Plan:
    """Apply an engine's rules and checks; pure."""
    fit = engine.fit(facts, hardware, wishes, table)
    situation = Situation(facts, hardware, wishes, fit, table)
    flags = [flag for rule in engine.rules for flag in rule(situation)]
    findings = list(fit.findings)
    findings += [finding for check in engine.checks for finding in check(situation)]
    findings += extra
    layout = fit.layout
    own = engine.node_flags(situation)
    start = engine.node_command if own else engine.command
    return Plan(
        artifact=facts.name,
        digest=facts.digest,
        hardware=hardware.name,
        engine=engine.name,
        release=release,
        command=start(python, facts.folder),
        flags=override(flags, wishes.flags, wishes.environment),
        memory=fit.memory,
        findings=tuple(sorted(findings, key=lambda found: SEVERITIES.index(found.severity))),
        chat=facts.chat_template,
        folder=facts.folder,
        parallel={
            "tensor": layout.tensor,
            "data": layout.data,
            "pipeline": layout.pipeline,
            "expert": layout.expert_ranks if layout.experts else 1,
        },
        node_flags=without(own, wishes.flags),
        chip=hardware.chip,
    )


def _sighting(hardware: str | None, devices: str | None, engine: str | None) -> Detected:
    """The hardware that was named, or that of this machine."""
    if hardware is not None:
        return Detected(parse_hardware(hardware, devices=devices or ""))
    found = detect() if engine is None else open_engine(engine).sight()
    return Detected(narrow(found.hardware, devices=devices or ""), found.findings)


def _release(
    engine: Engine, asked: str | None, installed: str
) -> tuple[Release | None, tuple[Finding, ...]]:
    """The table to plan by: of what was asked for, of what is installed, else the newest."""
    if not engine.has_releases:
        return None, ()
    if asked is not None:
        return open_release(asked), ()
    return nearest_release(installed) if installed else (latest(), ())


def _interpreter(
    engine: Engine, settings: Settings
) -> tuple[Path, str, Mapping[str, str], tuple[Finding, ...]]:
    """The engine's interpreter, release and packages; a plan can be read without them."""
    try:
        toolchain = find_toolchain(engine.toolchain, settings)
    except (NotFoundError, IncompatibleError) as error:
        missing = Finding("toolchain", WARNING, error.message, error.remedy)
        return Path("python3"), "", {}, (missing,)
    return toolchain.python, toolchain.version, toolchain.versions, ()
