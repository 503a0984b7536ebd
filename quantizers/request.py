"""What is asked of a quantization, what it works with, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from quantizers.interface import Quantizer
from quantizers.quality.perplexity import Perplexity
from quantizers.recipe import Recipe
from registry.artifact import Manifest
from registry.checkpoint import Checkpoint
from toolchains import Toolchain


@dataclass(frozen=True)
class QuantizationRequest:
    """What the user asks for.

    Attributes:
        source: a folder or a reference to a float model.
        name: ORG/NAME of the result.
        tool: which quantizer.
        recipe: a shipped recipe's name or a file's path.
        output: a new or empty folder; default: one below the data folder.
        calibration: a JSONL file.
        evaluate: whether perplexity is measured.
        evaluation_text: a UTF-8 file; default: docstrings that ship with Python.
        trust_remote_code: whether the model's own Python code may run.
    """

    source: str
    name: str
    tool: str = "llmcompressor"
    recipe: str = "w8a8-dynamic"
    output: Path | None = None
    calibration: Path | None = None
    evaluate: bool = True
    evaluation_text: Path | None = None
    trust_remote_code: bool = False


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
    """A request with everything found that it names."""

    request: QuantizationRequest
    quantizer: Quantizer
    recipe: Recipe
    toolchain: Toolchain
    source: Path
    base: str
    checkpoint: Checkpoint
    output: Path
