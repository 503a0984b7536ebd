"""What every rule is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from registry.finding import Finding
from serving.facts import ArtifactFacts, Wishes
from serving.fit import Fit
from serving.hardware import Hardware
from serving.plan import Flag


@dataclass(frozen=True)
class Situation:
    """Artifact, hardware, wishes, and how the one fits the other."""

    facts: ArtifactFacts
    hardware: Hardware
    wishes: Wishes
    fit: Fit


Rule = Callable[[Situation], Iterable[Flag]]
Check = Callable[[Situation], Iterable[Finding]]
