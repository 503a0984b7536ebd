"""What every rule is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from registry.finding import Finding
from serving.facts import ArtifactFacts
from serving.fit import Fit
from serving.hardware import Hardware
from serving.plan import Flag
from serving.releases import Release
from serving.wishes import Wishes


@dataclass(frozen=True)
class Situation:
    """Artifact, hardware, wishes, how the one fits the other, and what the release knows.

    `release` is None for engines that have no table.
    """

    facts: ArtifactFacts
    hardware: Hardware
    wishes: Wishes
    fit: Fit
    release: Release | None = None

    @property
    def on_310p(self) -> bool:
        return self.hardware.chip == "310P"

    def knows(self, flag: str) -> bool:
        """Whether the engine's parser knows a flag; it is assumed where there is no table."""
        return self.release is None or self.release.knows_flag(flag)

    def reads(self, key: str) -> bool:
        """Whether the plugin reads a key of `--additional-config`."""
        return self.release is not None and key in self.release.additional_config


Rule = Callable[[Situation], Iterable[Flag]]
Check = Callable[[Situation], Iterable[Finding]]
