"""What is asked of a quantization, what it works with, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from quantizers.calibration import CalibrationSet
from quantizers.interface import Intent, Options, Quantizer
from quantizers.quality.budget import SHORT
from quantizers.quality.perplexity import Perplexity
from quantizers.recipe import Recipe
from registry.artifact import Manifest
from registry.checkpoint import Checkpoint
from registry.checkpoint.remote_code import RemoteCode
from registry.lint.target import Target
from toolchains import Toolchain


@dataclass(frozen=True)
class QuantizationRequest:
    """What the user asks for.

    Attributes:
        source: a folder or a reference to a float model.
        name: ORG/NAME of the result.
        tool: which quantizer.
        recipe: a shipped recipe's name, a file's path, or for ModelSlim `practice:ID`.
        output: a new or empty folder; default: one below the data folder.
        calibration: a file of samples (see `quantizers.samples`), or the folder or name of a data
            set.
        anti_dataset: a file of samples that ModelSlim's older API smooths with.
        evaluate: how much is measured of what it did: `short` takes no longer than the tool or a
            minute, `full` measures everything, `none` nothing. True and False are `full` and
            `none`, as before there was a short way.
        evaluation_text: a UTF-8 file; default: docstrings that ship with Python.
        target: the NPU that the result shall run on, as `registry.lint` takes it.
        toolchain: another toolchain than the tool's usual one for this model.
        options: what else the tool takes.
        tags: for the MLflow run, beside qreg's own.
        keep_rejected: whether what was made and does not pass the checks is kept, as
            `OUTPUT.rejected`, beside the output.
        environment: variables for the tool, over those that qreg sets.
        recipe_name: what the recipe is called, if not as its file says.
    """

    source: str
    name: str
    tool: str = "llmcompressor"
    recipe: str = "w8a8-dynamic"
    output: Path | None = None
    calibration: Path | str | None = None
    anti_dataset: Path | None = None
    evaluate: str | bool = SHORT
    evaluation_text: Path | None = None
    target: Target = field(default_factory=Target)
    toolchain: str = ""
    options: Options = field(default_factory=Options)
    tags: dict[str, str] = field(default_factory=dict)
    keep_rejected: bool = True
    environment: dict[str, str] = field(default_factory=dict)
    recipe_name: str = ""


@dataclass(frozen=True)
class QuantizationResult:
    """What came of it.

    Attributes:
        folder: the artifact.
        manifest: as written to its `qreg.json`.
        perplexity: float and quantized, or None where it was not measured.
        seconds: of the whole run.
        size_before: bytes of the source's weights.
        size_after: bytes of the result's weights.
        run_id: MLflow's id; None while MLflow is away.
        log: of the tool, whole.
    """

    folder: Path
    manifest: Manifest
    perplexity: Perplexity | None
    seconds: float
    size_before: int
    size_after: int
    run_id: str | None
    log: Path


@dataclass(frozen=True)
class Prepared:
    """A request with everything found that it names.

    Attributes:
        intent: what the recipe does to this model.
        calibration, anti_dataset: the user's sets, or the one that comes with the tool.
        code: the source's own Python code, which may run; None where none may.
        state: of a script's checkout; empty for a recipe.
    """

    request: QuantizationRequest
    quantizer: Quantizer
    recipe: Recipe
    toolchain: Toolchain
    source: Path
    base: str
    checkpoint: Checkpoint
    output: Path
    intent: Intent
    calibration: CalibrationSet | None
    anti_dataset: CalibrationSet | None
    code: RemoteCode | None = None
    state: Mapping[str, object] = field(default_factory=dict)
