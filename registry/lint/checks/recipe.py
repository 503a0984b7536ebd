"""Checks of what a recipe or configuration claims to be quantized against what is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any

from registry.checkpoint.quantization.compressed_tensors import targets_of
from registry.checkpoint.quantization.layers import FLOAT, UNKNOWN, Layer
from registry.checkpoint.quantization.patterns import Budget, Patterns
from registry.finding import ERROR, WARNING
from registry.lint.check import ASCEND, Found, check, some
from registry.lint.subject import Subject

# Routers are modules of their own class, vision and MTP have other classes' names; whether a
# target such as Linear means them cannot be told from metadata.
_LONGEST = 2**16  # characters of a practice file or recipe; real ones have some hundred
_MOST_PATTERNS = 512  # of a practice file; each is held against each layer
_MOST_STEPS = 64  # of a recipe; real ones have one or two
_PLAIN = ("attention", "mlp", "experts")
_RECIPE = "recipe.yaml"  # what LLM-Compressor writes beside the weights
_NO_SCHEME = ("", "null", "~", "none", "unquantized")
Claim = tuple[Patterns, Patterns]  # targets, ignored


@check(
    "nothing-quantized",
    ERROR,
    prevents="A float model is taken for a quantized one: wrong memory, wrong kernels, OOM.",
    seen=f"{ASCEND}9894, {ASCEND}1127; a misspelt recipe ends llmcompressor 0.14 with success",
    fix="Quantize again and look at the tool's log, or remove the description.",
)
def nothing_quantized(subject: Subject) -> Iterator[Found]:
    quantization = subject.quantization
    layers = quantization.layers
    if not layers or quantization.computations or subject.checkpoint.faults:
        return
    if any(layer.scheme != FLOAT for layer in layers):
        return
    if subject.config_of_quantization.get("sparsity_config"):
        return  # sparse, and not meant to be quantized
    if quantization.method != "none":
        yield Found(f"It is marked as {quantization.method}, but every layer is float")
    elif _RECIPE in subject.files:
        plain = [layer for layer in layers if layer.component in _PLAIN]
        for claim in _recipe(subject):
            names = [x.module for x in plain if _is_claimed(x, *claim)]
            if names:
                text = f"{_RECIPE} claims {some(names, 'layers')}, but every layer is float"
                fix = "Quantize again and look at the tool's log, or remove recipe.yaml."
                yield Found(text, _RECIPE, fix=fix)
                return


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


@check(
    "quantized-ignored",
    ERROR,
    prevents="The engine builds float layers and reads integers into them: garbage, or shapes that "
    "do not fit.",
    seen="vllm 0.23.0, compressed_tensors/utils.py: what is ignored, or no target, stays float",
    fix="Copy the config.json of the run that wrote these weights, or take the layers from its "
    "ignore list into its targets.",
)
def quantized_ignored(subject: Subject) -> Iterator[Found]:
    if subject.quantization.method != "compressed-tensors":
        return
    config, budget = subject.config_of_quantization, Budget()
    targets = Patterns(_targets(config.get("config_groups")), budget)
    ignored = Patterns(_texts(config.get("ignore")), budget)
    modules = _one_expert_each(subject.quantization.layers)
    left_out = [module for module in modules if ignored.match(module)]
    if left_out:
        text = f"quantization_config ignores {some(left_out, 'layers')}, which are quantized"
        yield Found(text, left_out[0])
    if "Linear" in targets:
        return
    told = set(left_out)
    untargeted = [x for x in modules if x not in told and not targets.match(x)]
    if untargeted and budget.left > 0:  # patterns that take too long name nothing
        text = f"quantization_config does not target {some(untargeted, 'layers')}, which are"
        yield Found(f"{text} quantized", untargeted[0])


def _one_expert_each(layers: tuple[Layer, ...]) -> list[str]:
    """Quantized layers; of the experts of a layer, which share one kernel, the first ones."""
    found: dict[tuple[str, str], str] = {}
    for layer in layers:
        if layer.scheme not in (FLOAT, UNKNOWN):  # unknown ones are told by other checks
            parent, _, expert = layer.module.partition(".experts.")
            found.setdefault((parent, expert.partition(".")[2] or expert), layer.module)
    return list(found.values())


def _targets(groups: Any) -> list[str]:
    """The targets of compressed-tensors' groups that have weights."""
    sound = [g for g in groups.values() if isinstance(g, Mapping)] if _is_table(groups) else []
    return [t for g in sound if _is_table(g.get("weights")) for t in _texts(g.get("targets"))]


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _recipe(subject: Subject) -> Iterator[Claim]:
    """What the steps of LLM-Compressor's recipe quantize weights of, and what they ignore."""
    budget = Budget()
    for step in islice(_modifiers(_yaml(subject, _RECIPE)), _MOST_STEPS):
        targets = _targets(step.get("config_groups"))
        scheme = step.get("scheme")
        if isinstance(scheme, Mapping):  # the layers of each scheme
            targets += [t for some_of in scheme.values() for t in _texts(some_of)]
        elif isinstance(scheme, str) and scheme.lower() not in _NO_SCHEME:
            targets += _texts(step.get("targets")) or ["Linear"]
        if targets:
            yield Patterns(targets, budget), Patterns(_texts(step.get("ignore")), budget)


def _modifiers(recipe: Any) -> Iterator[Mapping[str, Any]]:
    """A stage has tables of modifiers by name: `quant_stage: quant_modifiers: GPTQModifier:`."""
    for stage in recipe.values() if isinstance(recipe, Mapping) else ():
        for modifiers in stage.values() if isinstance(stage, Mapping) else ():
            for step in modifiers.values() if isinstance(modifiers, Mapping) else ():
                if isinstance(step, Mapping):
                    yield step


def _yaml(subject: Subject, path: str) -> Any:
    import yaml

    try:
        # All scalars as text: nothing is constructed, so nothing can be made to cost.
        text = subject.text(path) or ""
        return yaml.load(text[:_LONGEST], Loader=yaml.BaseLoader)  # noqa: S506
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError):
        return None


def _practice(subject: Subject, path: str) -> list[tuple[list[str], list[str]]]:
    """The include and exclude patterns of a practice file's quantizing steps."""
    practice = _yaml(subject, path)
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


CHECKS = (nothing_quantized, claimed_float, quantized_ignored)
