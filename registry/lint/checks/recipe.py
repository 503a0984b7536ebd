"""Checks of what a recipe or configuration claims to be quantized, and is float."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from registry.checkpoint.quantization.compressed_tensors import targets_of
from registry.checkpoint.quantization.layers import FLOAT, Layer
from registry.checkpoint.quantization.patterns import Patterns
from registry.finding import WARNING
from registry.lint.check import Found, check, some
from registry.lint.subject import Subject

# Routers are modules of their own class, vision and MTP have other classes' names; whether a
# target such as Linear means them cannot be told from metadata.
_LONGEST = 2**16  # characters of a practice file; real ones have some hundred
_MOST_PATTERNS = 512  # of a practice file; each is held against each layer
_PLAIN = ("attention", "mlp", "experts")


@check(
    "claimed-float",
    WARNING,
    prevents="The engine builds quantized layers for float weights: shapes do not fit, or garbage.",
    seen="llmcompressor 0.14 on experts that are not linearized; msmodelslim 26.1.0 on fused ones",
    fix="Quantize again, or name the layers in the configuration's ignore list.",
)
def claimed_float(subject: Subject) -> Iterator[Found]:
    floats = [
        layer
        for layer in subject.quantization.layers
        if layer.scheme == FLOAT and layer.component in _PLAIN
    ]
    if not floats:
        return
    if subject.quantization.method == "compressed-tensors":
        targets, ignored = targets_of(subject.config_of_quantization)
        names = [x.module for x in floats if _is_claimed(x, targets, ignored)]
        if names:
            yield Found(
                f"quantization_config claims {some(names, 'layers')}, which are float", names[0]
            )
    for path in subject.files:
        if "best_practice" in path and path.endswith((".yaml", ".yml")):
            steps = _practice(subject, path)
            names = [x.module for x in floats if _in_practice(x.module, steps)]
            if names:
                yield Found(f"{path} claims {some(names, 'layers')}, which are float", names[0])


def _is_claimed(layer: Layer, targets: Patterns, ignored: Patterns) -> bool:
    if ignored.match(layer.module):
        return False
    return "Linear" in targets or targets.match(layer.module)


def _practice(subject: Subject, path: str) -> list[tuple[list[str], list[str]]]:
    """The include and exclude patterns of a practice file's quantizing steps."""
    import yaml

    try:
        # All scalars as text: nothing is constructed, so nothing can be made to cost.
        text = subject.text(path) or ""
        practice = yaml.load(text[:_LONGEST], Loader=yaml.BaseLoader)  # noqa: S506
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError):
        return []
    spec = practice.get("spec") if isinstance(practice, Mapping) else None
    steps = spec.get("process") if isinstance(spec, Mapping) else None
    found, left = [], _MOST_PATTERNS
    for step in _quantizing(steps):
        include, exclude = _texts(step.get("include")), _texts(step.get("exclude"))
        left -= len(include) + len(exclude)
        if left < 0:
            break
        found.append((include, exclude))
    return found


def _quantizing(steps: Any) -> Iterator[Mapping[str, Any]]:
    for step in steps if isinstance(steps, list) else ():
        if isinstance(step, Mapping):
            if step.get("type") == "group":
                inner = step.get("configs")
                flat = (
                    [s for s in inner if isinstance(s, Mapping)] if isinstance(inner, list) else []
                )
                yield from (s for s in flat if s.get("type") == "linear_quant")
            elif step.get("type") == "linear_quant":
                yield step


def _in_practice(module: str, steps: list[tuple[list[str], list[str]]]) -> bool:
    return any(
        any(fnmatchcase(module, pattern) for pattern in include)
        and not any(fnmatchcase(module, pattern) for pattern in exclude)
        for include, exclude in steps
    )


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


CHECKS = (claimed_float,)
