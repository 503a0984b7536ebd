"""The port that every quantizer implements: recipe and source in, a command and its reading out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quantizers.recipe import Recipe
from registry.checkpoint import Checkpoint
from registry.progress import Progress
from toolchains import Toolchain


@dataclass(frozen=True)
class Job:
    """One quantization, as the tool sees it.

    Attributes:
        source: the model's folder; only read.
        output: an empty folder to write to.
        recipe: what to do.
        calibration: a JSONL file with a text a line, or None.
        work: a folder for the job's own files.
        trust_remote_code: whether the model's own Python code may run.
    """

    source: Path
    output: Path
    recipe: Recipe
    calibration: Path | None
    work: Path
    trust_remote_code: bool = False


@dataclass(frozen=True)
class Needs:
    """What a job takes, in bytes."""

    memory: int
    disk: int


@dataclass(frozen=True)
class Command:
    """What to run: argument vector and additions to the environment."""

    argv: Sequence[str]
    env: Mapping[str, str]


class Quantizer(ABC):
    """A tool that quantizes. One instance follows one job."""

    name: str
    toolchain: str

    @abstractmethod
    def estimate(self, checkpoint: Checkpoint, recipe: Recipe) -> Needs:
        """Memory and disk that the job takes, from the model's headers."""

    @abstractmethod
    def command(self, job: Job, toolchain: Toolchain) -> Command:
        """What to run in the toolchain."""

    @abstractmethod
    def read_line(self, line: str) -> Progress | None:
        """What a line of the tool's output says of its progress; None for other lines."""

    @abstractmethod
    def uncovered(self, source: Checkpoint, output: Checkpoint, recipe: Recipe) -> list[str]:
        """Layers that the recipe names and that are not quantized in the output."""

    @abstractmethod
    def explain(self, log_tail: str) -> str:
        """What to do about a failure, from the end of the log; empty if it is not a known one."""
