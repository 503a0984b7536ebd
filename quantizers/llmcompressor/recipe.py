"""LLM-Compressor's recipes: reading them, and what they say of each layer.

A recipe's own part is `stages: {…_stage: {…_modifiers: {NAME: ARGUMENTS}}}`, LLM-Compressor's
layout (llmcompressor 0.14), and a file in that layout is a recipe.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from quantizers.recipe import LAYOUT, Recipe, compose_recipe, parse_yaml
from registry.checkpoint.quantization.compressed_tensors import scheme_name
from registry.errors import UsageError

TOOL = "llmcompressor"
MODEL_FREE = "model_free"
# compressed-tensors 0.19's preset schemes, under the names that qreg gives to their layers.
PRESETS = {
    "W8A16": "W8A16_GROUP",
    "W4A16": "W4A16",
    "W4A16_ASYM": "W4A16_ASYM",
    "W8A8": "W8A8_DYNAMIC",
    "INT8": "W8A8_DYNAMIC",
    "W4A8": "W4A8_DYNAMIC",
    "W4AFP8": "W4A8FP8_DYNAMIC",
    "FP8": "W8A8FP8_TENSOR",
    "FP8_DYNAMIC": "W8A8FP8_DYNAMIC",
    "FP8_BLOCK": "W8A8FP8_BLOCK",
    "NVFP4A16": "W4A16_NVFP4",
    "NVFP4": "W4A4_NVFP4",
    "MXFP4A16": "W4A16_MXFP4",
    "MXFP4": "W4A4_MXFP4",
    "MXFP8A16": "W8A16_MXFP8",
    "MXFP8": "W8A8_MXFP8",
}


def parse_stages(content: str, name: str, label: str) -> Recipe:
    """Check a recipe's content; raises UsageError with what is wrong."""
    value = parse_yaml(content, label)
    if "stages" not in value and any(str(key).endswith("_stage") for key in value):
        value = {"name": name, "tool": TOOL, "stages": value}
    if MODEL_FREE in value:
        return _model_free(value, name, label, content)
    stages = value.get("stages")
    if stages is None and value.get("tool") is None and {"apiversion", "practice"} & value.keys():
        raise UsageError(
            f"{label} looks like a practice of ModelSlim's, and is no recipe for {TOOL}",
            remedy="--tool modelslim takes it.",
        )
    if str(value.get("tool", TOOL)) == TOOL and (not isinstance(stages, dict) or not stages):
        raise UsageError(f"{label} is not a recipe: it has no stages", remedy=LAYOUT)
    recipe = compose_recipe(value, stages or {}, tool=TOOL, name=name, text=content)
    for stage in recipe.body.values():
        for group in stage if isinstance(stage, dict) else ("",):
            if not str(group).endswith("_modifiers"):
                # LLM-Compressor skips it in silence and ends well, with nothing quantized.
                raise UsageError(
                    f"{label}: a stage holds groups named …_modifiers, not {group!r}",
                    remedy=LAYOUT,
                )
    if not any(quantizing(recipe)):
        raise UsageError(
            f"{label} quantizes nothing: no modifier in its stages has a scheme", remedy=LAYOUT
        )
    return recipe


def _model_free(value: Mapping[str, Any], name: str, label: str, content: str) -> Recipe:
    arguments = value[MODEL_FREE]
    sound = isinstance(arguments, dict) and isinstance(arguments.get("scheme"), str)
    if not sound or not isinstance(arguments.get("ignore", []), list):
        raise UsageError(
            f"{label}: {MODEL_FREE} is not {{scheme: NAME, ignore: [PATTERN, …]}}", remedy=LAYOUT
        )
    if value.get("calibration"):
        raise UsageError(f"{label}: the model-free path takes no calibration set", remedy=LAYOUT)
    return compose_recipe(value, {MODEL_FREE: arguments}, tool=TOOL, name=name, text=content)


def is_model_free(recipe: Recipe) -> bool:
    """Whether a recipe quantizes shard by shard, without building the model."""
    return MODEL_FREE in recipe.body


def modifiers(recipe: Recipe) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The modifiers of all stages, in order, with their arguments."""
    for stage in recipe.body.values():
        for group in stage.values() if isinstance(stage, Mapping) else ():
            for name, arguments in group.items() if isinstance(group, Mapping) else ():
                yield name, arguments if isinstance(arguments, Mapping) else {}


def quantizing(recipe: Recipe) -> Iterator[Mapping[str, Any]]:
    """The arguments of the modifiers that quantize: those with a scheme."""
    if is_model_free(recipe):
        yield {"targets": ["Linear"], **recipe.body[MODEL_FREE]}
        return
    for _, arguments in modifiers(recipe):
        if "scheme" in arguments or "config_groups" in arguments:
            yield arguments


def schemes_of(recipe: Recipe, layers: Mapping[str, str]) -> dict[str, str]:
    """The scheme of each layer that a recipe names.

    Args:
        recipe: the recipe.
        layers: the model's linear layers, module by module.

    Returns:
        By module; an empty scheme where the recipe alone does not tell.
    """
    claims = [claim for step in quantizing(recipe) for claim in _claims(step)]
    found = {}
    for module in layers:
        for targets, ignored, scheme in claims:
            if _is_targeted(module, targets, ignored):
                found[module] = scheme
                break
    return found


def group_size(recipe: Recipe) -> int | None:
    """The group size that a recipe's own config_groups or presets ask for; None without groups."""
    sizes = set()
    for step in quantizing(recipe):
        for group in _groups(step):
            weights = group.get("weights")
            sizes.add(weights.get("group_size") if isinstance(weights, Mapping) else None)
        preset = PRESETS.get(str(step.get("scheme")).upper(), "")
        if preset.startswith("W4") and "MX" not in preset and "NV" not in preset:
            sizes.add(128)
    return next(iter(sizes)) if len(sizes) == 1 else None


Claim = tuple[list[str], list[str], str]


def _claims(step: Mapping[str, Any]) -> Iterator[Claim]:
    """Targets, ignored and scheme of a modifier's groups; names go before classes."""
    ignored, scheme = _names(step.get("ignore")), step.get("scheme")
    found: list[Claim] = []
    for group in _groups(step):
        found.append((_names(group.get("targets")), ignored, _group_scheme(group)))
    if isinstance(scheme, Mapping):
        for name, targets in scheme.items():
            found.append((_names(targets), ignored, PRESETS.get(str(name).upper(), "")))
    elif isinstance(scheme, str):
        targets = _names(step.get("targets")) or ["Linear"]
        found.append((targets, ignored, PRESETS.get(scheme.upper(), "")))
    yield from sorted(found, key=lambda claim: "Linear" in claim[0])


def _groups(step: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    groups = step.get("config_groups")
    values = groups.values() if isinstance(groups, Mapping) else ()
    return [group for group in values if isinstance(group, Mapping)]


def _group_scheme(group: Mapping[str, Any]) -> str:
    weights, activations = group.get("weights"), group.get("input_activations")
    if not isinstance(weights, Mapping):
        return ""
    return scheme_name(weights, activations if isinstance(activations, Mapping) else {})


def _is_targeted(layer: str, targets: list[str], ignored: list[str]) -> bool:
    if any(_matches(layer, pattern) for pattern in ignored):
        return False
    return any(target == "Linear" or _matches(layer, target) for target in targets)


def _matches(layer: str, pattern: str) -> bool:
    if pattern.startswith("re:"):
        return re.match(pattern.removeprefix("re:"), layer) is not None
    return layer == pattern


def _names(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(item) for item in value or ()]
