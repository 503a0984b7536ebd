"""The port that every engine implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from registry.progress import Progress
from serving.facts import ArtifactFacts
from serving.failures import SHARED, KnownFailure
from serving.fit import Fit
from serving.hardware import Detected, Hardware
from serving.plan import Flag
from serving.releases import Release
from serving.rules.situation import Check, Rule, Situation
from serving.wishes import Wishes


class Engine(ABC):
    """What qreg must know of an engine to plan for it, start it and follow it.

    Attributes:
        name: as users say it.
        toolchain: that it runs in.
        has_releases: whether there are tables of its releases.
        steps: lines of its log that begin a step of the start, in the order of the steps: what is
            in the line, and what goes on then. Several lines may begin one step.
        failures: known ones, see `serving.failures`.
    """

    name: str
    toolchain: str
    has_releases: bool = False
    steps: tuple[tuple[str, str], ...] = ()
    failures: tuple[KnownFailure, ...] = SHARED

    @abstractmethod
    def sight(self) -> Detected:
        """The hardware of this machine that the engine would use.

        Raises:
            IncompatibleError: there is none.
        """

    @abstractmethod
    def fit(
        self, facts: ArtifactFacts, hardware: Hardware, wishes: Wishes, release: Release | None
    ) -> Fit:
        """How an artifact fits some hardware."""

    @property
    @abstractmethod
    def rules(self) -> tuple[Rule, ...]:
        """What gives the flags, in order."""

    @property
    @abstractmethod
    def checks(self) -> tuple[Check, ...]:
        """What can forbid or comment a launch."""

    def node_flags(self, situation: Situation) -> tuple[tuple[Flag, ...], ...]:
        """What each node's command has besides; empty where one node is enough."""
        return ()

    @abstractmethod
    def command(self, python: Path, folder: str) -> tuple[str, ...]:
        """The words before the flags that start the server for the model in `folder`."""

    def node_command(self, python: Path, folder: str) -> tuple[str, ...]:
        """The same for one of several nodes, where another entry point starts those."""
        return self.command(python, folder)

    def read_line(self, line: str) -> Progress | None:
        """What a line of the log says of the start; None for other lines."""
        stages = tuple(dict.fromkeys(stage for _, stage in self.steps))
        for sign, stage in self.steps:
            if sign in line:
                return Progress(stage, stages.index(stage) + 1, len(stages), "steps")
        return None
