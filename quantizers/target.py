"""Whether what a recipe makes can be run: its schemes held against the kernels of a release."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from quantizers.interface import Intent
from registry.checkpoint import Checkpoint
from registry.checkpoint.architecture import read_architecture
from registry.errors import IncompatibleError
from registry.lint.checks.sizes import unshared_heads
from registry.lint.target import RELEASE, Target, has_kernel
from registry.progress import Note

_USUAL = "W8A8_DYNAMIC"  # what both tools' recipes w8a8-dynamic make
# vLLM Ascend's W4A16 kernel for compressed-tensors' experts, and W4A8's, take these groups.
_GROUPS = {"W4A16": (32,), "W4A8_DYNAMIC": (64, 128)}


def check_ranks(checkpoint: Checkpoint, target: Target) -> None:
    """The target's ranks can share the model's heads, which quantizing leaves as they are.

    Raises:
        IncompatibleError: with the numbers of ranks that can.
    """
    ranks = target.tensor_parallel
    problem = unshared_heads(read_architecture(checkpoint.config), ranks) if ranks else None
    if problem:
        raise IncompatibleError(f"{checkpoint.label}: {problem[0]}", remedy=problem[1])


def check_target(intent: Intent, recipe: str, target: Target) -> list[Note]:
    """Refuse a recipe whose result the target has no kernels for.

    Args:
        intent: what the recipe does to the model.
        recipe: its name, for the message.
        target: what the result shall run on; any NPU where no chip is named.

    Returns:
        What may be in the way, where no chip is named and other engines may run it.

    Raises:
        IncompatibleError: the chip, or for ModelSlim's formats every NPU, lacks a kernel.
    """
    problems = list(_problems(intent, target))
    if not problems:
        return []
    where = target.chip.name if target.chip else "any NPU"
    message = f"vLLM Ascend {RELEASE} cannot run what recipe {recipe} makes on {where}: "
    message += "; ".join(problem.text for problem in problems)
    # Other engines may run compressed-tensors; ModelSlim's types only Ascend's.
    if target.chip is None and intent.method != "modelslim":
        return [Note(message, warning=True)]
    raise IncompatibleError(message, remedy=_advice(problems, intent.method, target))


class _Problem(NamedTuple):
    """What cannot be run, the kind of layer that it is of, and that kind's unfit scheme."""

    text: str
    kind: str = ""
    scheme: str = ""


def _advice(problems: list[_Problem], method: str, target: Target) -> str:
    """What the release's tables have in place of what there is no kernel for."""
    chips = target.candidates
    if not any(method in chip.methods for chip in chips):
        names = " or ".join(chip.name for chip in chips if "modelslim" in chip.methods)
        kernels = [
            has_kernel(_USUAL, kind, "modelslim", c) for kind in ("mlp", "moe") for c in chips
        ]
        recipe = " --recipe w8a8-dynamic" if all(kernels) else ""
        return f"Quantize with --tool modelslim{recipe}, in its own format, which {names} takes."
    known = sorted({s for chip in chips for s in chip.linear | chip.moe | chip.attention})
    kinds: dict[str, set[str]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind, set()).add(problem.scheme)
    parts, usual = [], True
    for kind, unfit in kinds.items():
        able = [
            scheme
            for scheme in known
            if scheme not in unfit and any(has_kernel(scheme, kind, method, c) for c in chips)
        ]
        parts.append(f"{kind} in {' or '.join(able)}" if able else f"{kind} in floating point")
        usual = usual and _USUAL in able
    such = ", such as w8a8-dynamic" if usual else ""
    return f"Choose a recipe{such}, that has {', '.join(parts)}; or leave these in floating point."


def _problems(intent: Intent, target: Target) -> Iterator[_Problem]:
    if not any(intent.method in chip.methods for chip in target.candidates):
        yield _Problem(f"no kernels for {intent.method}")
        return
    kinds: dict[tuple[str, str], int] = {}
    for module, scheme in intent.layers.items():
        component = intent.components.get(module, "other")
        kind = "moe" if component == "experts" else component
        kinds[kind, scheme] = kinds.get((kind, scheme), 0) + 1
    computed = dict.fromkeys(intent.computations.items(), 0)
    for (kind, scheme), count in {**kinds, **computed}.items():
        if not scheme:
            continue
        counted = f"{scheme} for {kind}" + (f" ({count} layers)" if count else "")
        if not any(has_kernel(scheme, kind, intent.method, c) for c in target.candidates):
            yield _Problem(f"no kernel of {counted}", kind, scheme)
        elif kind == "moe" and intent.method == "compressed-tensors":
            groups = _GROUPS.get(scheme)
            if groups and intent.group_size and intent.group_size not in groups:
                wanted = " or ".join(str(size) for size in groups)
                text = f"{counted} in groups of {intent.group_size}, the kernel takes {wanted}"
                yield _Problem(text, kind)
    linear = [m for m, s in intent.layers.items() if s == "W4A8_DYNAMIC"]
    dense = [m for m in linear if intent.components.get(m) not in ("experts", "mtp")]
    if dense and intent.method == "modelslim" and not intent.group_size:
        text = f"W4A8_DYNAMIC without groups is for experts only, not for {dense[0]}"
        component = intent.components.get(dense[0], "other")
        yield _Problem(text, component, "W4A8_DYNAMIC")
