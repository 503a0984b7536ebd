"""The port that every engine implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from registry.progress import Progress
from serving.facts import ArtifactFacts
from serving.fit import Fit
from serving.hardware import Hardware
from serving.rules.situation import Check, Rule


class Engine(ABC):
    """What qreg must know of an engine to plan for it, start it and follow it."""

    name: str
    toolchain: str

    @abstractmethod
    def hardware(self) -> Hardware:
        """The hardware of this machine that the engine would use."""

    @abstractmethod
    def fit(self, facts: ArtifactFacts, hardware: Hardware) -> Fit:
        """How an artifact fits it."""

    @property
    @abstractmethod
    def rules(self) -> tuple[Rule, ...]:
        """What gives the flags, in order."""

    @property
    @abstractmethod
    def checks(self) -> tuple[Check, ...]:
        """What can forbid or comment a launch."""

    @abstractmethod
    def command(self, python: Path) -> tuple[str, ...]:
        """The words before the flags that start the server."""

    @abstractmethod
    def read_line(self, line: str) -> Progress | None:
        """What a line of the log says of the start; None for other lines."""

    @abstractmethod
    def explain(self, log_tail: str) -> str:
        """What to do about a failed start, from the log's error lines; empty if it is not known."""
