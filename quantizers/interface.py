"""The port that every quantizer implements: recipe and source in, a command and its reading out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quantizers.calibration import CalibrationSet
from quantizers.failures import SHARED, KnownFailure, recognise
from quantizers.recipe import Recipe
from registry.checkpoint import Checkpoint
from registry.progress import Note, Progress
from toolchains import Toolchain

# A file in a job's `work` in which the tool may say what it used of a calibration set:
# {"samples", "tokens", "sha256" over the texts}.
USED = "calibration-used.json"
FindToolchain = Callable[[], Toolchain]


@dataclass(frozen=True)
class Options:
    """What a user asks of a tool beside recipe and source.

    Attributes:
        device: `cpu`, `npu`, or `npu:0,1`; empty for the tool's usual one.
        model_type: the tool's own name of the model's kind; empty to derive it.
        trust_remote_code: whether the model's own Python code may run.
        script: a script of the user's that does the work, or None.
        arguments: for that script, as they are.
        untouched: uses of sets, `calibration` or `anti_dataset`, that the script reads as they are.
        procedure: what a record says of how the tool was run, see `Quantizer.procedure`; None for
            the usual way.
    """

    device: str = ""
    model_type: str = ""
    trust_remote_code: bool = False
    script: Path | None = None
    arguments: tuple[str, ...] = ()
    untouched: tuple[str, ...] = ()
    procedure: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Job:
    """One quantization, as the tool sees it.

    Attributes:
        source: the model's folder; only read.
        output: an empty folder to write to.
        recipe: what to do.
        calibration: a file of samples (see `quantizers.samples`), a folder or name of a data set,
            or None.
        work: a folder for the job's own files.
        checkpoint: the source's metadata.
        anti_dataset: a file of samples for smoothing, where the tool takes one of its own.
        options: the rest.
    """

    source: Path
    output: Path
    recipe: Recipe
    calibration: Path | str | None
    work: Path
    checkpoint: Checkpoint
    anti_dataset: Path | None = None
    options: Options = field(default_factory=Options)


@dataclass(frozen=True)
class Needs:
    """What a job takes.

    Attributes:
        memory, disk: in bytes.
        otherwise: what else a user can do where there is too little memory; empty if nothing.
    """

    memory: int
    disk: int
    otherwise: str = ""


@dataclass(frozen=True)
class Command:
    """What to run.

    Attributes:
        argv: the argument vector.
        env: additions to the environment.
        secrets: names of variables that the tool needs and would not see otherwise, see
            `toolchains.environment`.
        folder: where it runs; None for the job's `work`.
        own_modules: whether it runs a script of the user's, whose modules PYTHONPATH may name; see
            `toolchains.pythonpath`.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    secrets: Sequence[str] = ()
    folder: Path | None = None
    own_modules: bool = False


@dataclass(frozen=True)
class Intent:
    """What a recipe does to one model.

    Attributes:
        method: of the result, `modelslim` or `compressed-tensors`.
        layers: the scheme of each linear layer that is to be quantized, by module; an empty scheme
            where the recipe alone does not tell.
        components: what each of them is a part of, `attention`, `experts`, …
        computations: schemes of what is quantized beside weights, such as `{"kv_cache": "C8"}`.
        group_size: weights that share a scale; None without groups.
        spare: how many of the layers the tool may leave float by its own choice.
    """

    method: str
    layers: Mapping[str, str]
    components: Mapping[str, str]
    computations: Mapping[str, str] = field(default_factory=dict)
    group_size: int | None = None
    spare: int = 0


class Quantizer(ABC):
    """A tool that quantizes. One instance follows one job."""

    name: str
    toolchain: str
    failures: tuple[KnownFailure, ...] = ()

    def toolchain_for(self, checkpoint: Checkpoint, options: Options) -> str:
        """The toolchain that a model needs."""
        return self.toolchain

    @abstractmethod
    def load_recipe(self, text: str, options: Options, toolchain: FindToolchain) -> Recipe:
        """Read a shipped recipe by name, or a user's file by path.

        Args:
            text: what the user wrote.
            options: may name a script, which then is the recipe.
            toolchain: finds the toolchain, for recipes that come with the tool.

        Raises:
            NotFoundError: neither a recipe nor a file.
            UsageError: not a recipe, or one for another tool.
        """

    def settle(self, recipe: Recipe, options: Options) -> tuple[Mapping[str, Path], Options]:
        """Sets that are named among the arguments of a script, and the options without them.

        Returns:
            Paths by use, `calibration` and `anti_dataset`; options that mean the same from any
            folder.
        """
        return {}, options

    def check(self, checkpoint: Checkpoint, recipe: Recipe, options: Options) -> list[Note]:
        """Look for what would fail hours later; returns what the user should know.

        Raises:
            UsageError, IncompatibleError: it would fail.
        """
        return []

    def check_output(self, output: Path) -> None:
        """Whether the tool can write there; raises IncompatibleError."""
        return

    def practices(self, checkpoint: Checkpoint, toolchain: Toolchain) -> Sequence[str]:
        """Recipes for a kind of model that come with the tool, as `load_recipe` takes them."""
        return ()

    def check_toolchain(
        self, checkpoint: Checkpoint, options: Options, toolchain: Toolchain
    ) -> None:
        """Whether the tool can do there what the user asks; raises IncompatibleError."""
        return

    def default_set(self, recipe: Recipe, use: str, toolchain: Toolchain) -> CalibrationSet | None:
        """A set that comes with the tool or the script, for the record; None if there is none.

        Args:
            recipe: names it, or is a script that does.
            use: `calibration` or `anti_dataset`.
            toolchain: that the tool is in.

        Raises:
            NotFoundError: it is named, and not there.
        """
        return None

    def state(self, recipe: Recipe) -> Mapping[str, object]:
        """Of what a script comes from, such as the commit of its checkout; empty for a recipe."""
        return {}

    def procedure(self, recipe: Recipe, options: Options) -> Mapping[str, Any]:
        """What decides about the result and stands neither in the recipe nor in the options.

        It is recorded; whoever follows a record gives it as `options.procedure`. Empty where a tool
        has nothing of that kind.
        """
        return {}

    @abstractmethod
    def estimate(self, checkpoint: Checkpoint, recipe: Recipe) -> Needs:
        """Memory and disk that the job takes, from the model's headers."""

    @abstractmethod
    def command(self, job: Job, toolchain: Toolchain) -> Command:
        """What to run in the toolchain; writes the job's files to its `work`."""

    @abstractmethod
    def read_line(self, line: str) -> Progress | None:
        """What a line of the tool's output says of its progress; None for other lines."""

    def warning(self, line: str) -> str:
        """What a line of the tool's output warns of that a user should see; empty for others."""
        return ""

    def succeeded(self, log: str) -> bool:
        """Whether the log says that the work was done, for tools that say so."""
        return True

    def finish(self, job: Job) -> None:
        """Take traces of this machine, such as paths of its temporary files, out of the output."""
        return

    @abstractmethod
    def intent(self, source: Checkpoint, recipe: Recipe) -> Intent:
        """The layers that a recipe quantizes in a model, from the source's headers."""

    def explain(self, log: str) -> KnownFailure | None:
        """What a failure was, from the log; None if it is not a known one."""
        return recognise(log, (*self.failures, *SHARED))
