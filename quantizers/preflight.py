"""Everything that can be refused before hours are spent: source, output, recipe, memory, disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from quantizers.interface import Intent, Needs
from quantizers.recipe import Recipe
from registry.checkpoint import Checkpoint, open_checkpoint
from registry.checkpoint.quantization import quantization_config
from registry.checkpoint.quantization.layers import is_linear_weight
from registry.errors import IncompatibleError, UsageError
from registry.staging import require_fresh

_SHORTEST_TEXT = 1000  # characters, about one window of tokens


def check_source(source: Path, output: Path) -> Checkpoint:
    """Check what can be refused knowing only source and output; returns the source's metadata.

    Raises:
        UsageError: the output is not empty, is the source or lies inside it.
        NotFoundError, IntegrityError: the source is not a whole checkpoint.
        IncompatibleError: the model is quantized already, or has no linear layers.
    """
    check_output(source, output)
    checkpoint = open_checkpoint(source)
    if checkpoint.description is not None or quantization_config(checkpoint.config):
        raise IncompatibleError(
            f"{checkpoint.label} is quantized already",
            remedy="Start from the float model; quantizing twice only adds error.",
        )
    if not any(is_linear_weight(tensor) for tensor in checkpoint.tensors.values()):
        raise IncompatibleError(f"{checkpoint.label} has no linear layers to quantize")
    return checkpoint


def check_recipe_fits(checkpoint: Checkpoint, recipe: Recipe, intent: Intent) -> None:
    """The model has layers that the recipe names; raises IncompatibleError."""
    if not intent.layers:
        raise IncompatibleError(
            f"Recipe {recipe.name} names no layer of {checkpoint.label}",
            remedy="Check the recipe's targets and ignore patterns against the layer names, which "
            "`qreg inspect --json` and the model's index list.",
        )
    if recipe.experts and "experts" not in intent.components.values():
        raise IncompatibleError(
            f"Recipe {recipe.name} is for models with experts, {checkpoint.label} has none",
            remedy="Choose another recipe, such as w8a8-dynamic.",
        )


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
        ("memory", needs.memory, memory, _more_memory(needs)),
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


def _more_memory(needs: Needs) -> str:
    return f"Use a machine with more memory, or end other programs. {needs.otherwise}".strip()


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
