"""Everything that can be refused before hours are spent: source, output, recipe, memory, disk."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from quantizers.interface import Needs, Quantizer
from quantizers.recipe import Recipe
from registry.checkpoint import Checkpoint, open_checkpoint
from registry.checkpoint.quantization import quantization_config
from registry.checkpoint.quantization.layers import is_linear_weight
from registry.errors import IncompatibleError, NotFoundError, UsageError
from registry.staging import require_fresh

_SHORTEST_TEXT = 1000  # characters, about one window of tokens


def check_job(
    quantizer: Quantizer, source: Path, output: Path, recipe: Recipe, calibration: Path | None
) -> Checkpoint:
    """Check that a job can be done; returns the source's metadata.

    Raises:
        UsageError: the output is not empty, is the source or lies inside it; a calibration set is
            missing, not wanted, or malformed.
        NotFoundError, IntegrityError: the source is not a whole checkpoint.
        IncompatibleError: the model is quantized already, has nothing that the recipe names, or
            the machine has too little memory or disk.
    """
    check_output(source, output)
    checkpoint = open_checkpoint(source)
    check_recipe_fits(quantizer, checkpoint, recipe)
    check_calibration(recipe, calibration)
    check_resources(quantizer.estimate(checkpoint, recipe), output)
    return checkpoint


def check_output(source: Path, output: Path) -> None:
    """The output is new, and writing it cannot touch the source."""
    inside, outside = output.resolve(), source.resolve()
    if inside == outside or inside.is_relative_to(outside):
        where = "is the source folder" if inside == outside else "lies inside the source folder"
        raise UsageError(
            f"The output {output} {where} {source}",
            remedy="Name a folder outside the source; qreg never writes into a source.",
        )
    require_fresh(output)


def check_recipe_fits(quantizer: Quantizer, checkpoint: Checkpoint, recipe: Recipe) -> None:
    """The model is in floating point and has layers that the recipe names."""
    if checkpoint.description is not None or quantization_config(checkpoint.config):
        raise IncompatibleError(
            f"{checkpoint.label} is quantized already",
            remedy="Start from the float model; quantizing twice only adds error.",
        )
    if not any(is_linear_weight(tensor) for tensor in checkpoint.tensors.values()):
        raise IncompatibleError(f"{checkpoint.label} has no linear layers to quantize")
    if not quantizer.uncovered(checkpoint, checkpoint, recipe):
        raise IncompatibleError(
            f"Recipe {recipe.name} names no layer of {checkpoint.label}",
            remedy="Check the recipe's targets and ignore patterns against the layer names, which "
            "`qreg inspect --json` and the model's index list.",
        )


def check_calibration(recipe: Recipe, calibration: Path | None) -> None:
    """A calibration set is given exactly when the recipe wants one, and can be read."""
    if recipe.calibration is None:
        if calibration is not None:
            raise UsageError(
                f"Recipe {recipe.name} is data-free and would not use {calibration}",
                remedy="Leave out --calibration, or choose a recipe that calibrates.",
            )
        return
    if calibration is None:
        raise UsageError(
            f"Recipe {recipe.name} needs a calibration set",
            remedy='Give --calibration FILE.jsonl with a line {"text": "…"} a sample.',
        )
    if not calibration.is_file():
        raise NotFoundError(
            f"There is no calibration file {calibration}", remedy="Give the path of a JSONL file."
        )
    samples = 0
    try:
        with calibration.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    _check_sample(line, f"{calibration}, line {number}")
                    samples += 1
    except UnicodeDecodeError as error:
        raise UsageError(
            f"The calibration file {calibration} is not UTF-8 text: {error}",
            remedy='A line reads {"text": "…"} .',
        ) from error
    if not samples:
        raise UsageError(
            f"The calibration file {calibration} is empty", remedy='A line reads {"text": "…"} .'
        )


def _check_sample(line: str, where: str) -> None:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise UsageError(
            f"{where} is not JSON: {error}", remedy='A line reads {"text": "…"} .'
        ) from error
    text = value.get("text") if isinstance(value, dict) else value
    chat = isinstance(value, dict) and isinstance(value.get("messages"), list)
    if not chat and not (isinstance(text, str) and text):
        raise UsageError(
            f"{where} holds no text",
            remedy='A line reads {"text": "…"}, {"messages": […]} or "…" .',
        )


def check_evaluation_text(path: Path | None) -> None:
    """A text to measure on is UTF-8 and long enough for at least one window."""
    if path is None:
        return
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"The evaluation text {path} cannot be read: {error}", remedy="Give a UTF-8 text file."
        ) from error
    if len(text) < _SHORTEST_TEXT:
        raise UsageError(
            f"The evaluation text {path} has {len(text)} characters",
            remedy=f"Give at least {_SHORTEST_TEXT}; some 60,000 make a stable figure.",
        )


def check_resources(needs: Needs, output: Path) -> None:
    """The machine has the memory and the disk; raises IncompatibleError with what is missing."""
    memory, disk = available_memory(), available_disk(output)
    for what, need, have, remedy in (
        ("memory", needs.memory, memory, "Use a machine with more memory, or end other programs."),
        (
            f"disk space below {_existing(output)}",
            needs.disk,
            disk,
            "Free space there, or name an --output on another disk.",
        ),
    ):
        if need > have:
            raise IncompatibleError(
                f"Quantizing needs about {need / 2**30:.1f} GiB of {what}, "
                f"{have / 2**30:.1f} GiB are free",
                remedy=remedy,
            )


def available_memory() -> int:
    """Bytes that new work can use: what the kernel says, within the container's limit."""
    import psutil

    available = int(psutil.virtual_memory().available)
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    try:
        available = min(available, int(limit.read_text()) - int(used.read_text()))
    except (OSError, ValueError):
        pass  # no cgroup v2, or no limit ("max")
    return max(0, available)


def available_disk(path: Path) -> int:
    """Bytes free on the disk where `path` will be."""
    return shutil.disk_usage(_existing(path)).free


def _existing(path: Path) -> Path:
    path = Path(os.path.abspath(path))
    while not path.exists():
        path = path.parent
    return path
