"""What a practice would fail at on a model, told before the work."""

from __future__ import annotations

from quantizers.coverage import linear_modules
from quantizers.modelslim.devices import Device
from quantizers.modelslim.practice import disabled_names, has_patterns, steps_of
from quantizers.recipe import Recipe
from registry.checkpoint import Checkpoint
from registry.checkpoint.architecture import read_architecture
from registry.errors import IncompatibleError


def check_practice(recipe: Recipe, checkpoint: Checkpoint, device: Device) -> None:
    """Look at what ModelSlim stops at; raises IncompatibleError.

    Args:
        recipe: with a practice.
        checkpoint: of the float model.
        device: where it is to be quantized.
    """
    architecture = read_architecture(checkpoint.config)
    modules = dict(linear_modules(checkpoint, architecture.layers))
    skipped = [] if has_patterns(recipe.body) else disabled_names(recipe.body)
    unknown = [name for name in skipped if name not in modules]
    if unknown:
        raise IncompatibleError(
            f"Practice {recipe.name} skips layers that {checkpoint.label} does not have: "
            f"{unknown[0]} and {len(unknown) - 1} more",
            remedy="Copy the practice to a file of yours without those names in disable_names, and "
            "give that as --recipe.",
        )
    smooths = any(step.get("type") == "iter_smooth" for step in steps_of(recipe.body))
    if smooths and device.kind == "cpu" and architecture.dtype == "bfloat16":
        raise IncompatibleError(
            f"{recipe.name} smooths with iter_smooth, which fails on bfloat16 models on a CPU",
            remedy="Use flex_smooth_quant in its place, as the recipe w8a8-smooth does.",
        )


def calibration_warning(recipe: Recipe, checkpoint: Checkpoint) -> str:
    """What makes calibration see other activations than the model has; empty if nothing does.

    transformers 5 writes `rope_parameters`; 4.57 reads `rope_theta` alone, and takes its own
    default where that is missing.
    """
    config = checkpoint.text_config
    if recipe.calibration is None or "rope_parameters" not in config or "rope_theta" in config:
        return ""
    return (
        "config.json gives RoPE's base in rope_parameters alone, which transformers before 5 does "
        "not read: calibration may see other activations. Add rope_theta to config.json, or use a "
        "toolchain with transformers 5"
    )
