"""Looking up what is on record for a plan; the decisions are `proven`'s and `fit.overhead`'s."""

from __future__ import annotations

from dataclasses import replace

from registry.artifact import Digest
from registry.config import Settings
from registry.errors import QregError
from registry.evidence import read_all_evidence, read_evidence
from serving.engines import Engine
from serving.evidence.proven import proofs_of, samples_of
from serving.hardware import Hardware
from serving.plan import Plan
from serving.wishes import OverheadSample


def measured_overheads(
    settings: Settings, engine: Engine, release: str, hardware: Hardware
) -> tuple[OverheadSample, ...]:
    """What launches of any artifact took beside weights and KV cache, with the same engine here."""
    entries = read_all_evidence(settings)
    return samples_of(entries, engine.name, release, hardware.name, hardware.chip)


def with_proofs(plan: Plan, settings: Settings) -> Plan:
    """The plan with what earlier launches of the same digest showed."""
    try:
        digest = Digest.parse(plan.digest)
    except QregError:
        return plan  # nobody has hashed it yet
    return replace(plan, proven=proofs_of(plan, read_evidence(settings, digest)))
