"""Looking at what a tool made: nothing that it says of itself is believed."""

from __future__ import annotations

from quantizers.coverage import coverage
from quantizers.interface import Job
from quantizers.request import Prepared
from quantizers.soundness import unsound_tensors
from registry.checkpoint import open_checkpoint
from registry.checkpoint.facts import Facts, read_facts
from registry.errors import ToolError
from registry.finding import ERROR, WARNING
from registry.lint.run import lint_facts
from registry.progress import Note, Observer
from registry.source import LocalSource

_SHOWN = 20  # lines of details
_KEEP = "The whole log is {log} ."


def check_output(prepared: Prepared, job: Job, log: str, observe: Observer) -> Facts:
    """Check an output as a whole; returns its facts.

    Coverage of every layer that the recipe names, every floating point tensor finite and every
    scale positive, lint without errors.

    Args:
        prepared: what was asked.
        job: where the output is.
        log: the path of the tool's log, for messages.
        observe: is told the tensors looked at, and lint's warnings.

    Raises:
        NotFoundError, IntegrityError: it is no whole checkpoint.
        ToolError: it is not what was asked for.
    """
    facts = read_facts(open_checkpoint(job.output))
    tool, recipe = prepared.quantizer.name, prepared.recipe.name
    _check_coverage(prepared, facts, log)
    unsound = unsound_tensors(facts.checkpoint, observe)
    if unsound:
        raise ToolError(
            f"{tool} ended well with {recipe}, but {len(unsound)} tensors hold no sound numbers",
            remedy="Look at the calibration set (empty or extreme texts), and at the source for "
            f"damaged weights; {_KEEP.format(log=log)}",
            details="\n".join(unsound[:_SHOWN]),
        )
    findings = lint_facts(facts, LocalSource(job.output), prepared.request.target)
    errors = [f for f in findings if f.severity == ERROR]
    if errors:
        raise ToolError(
            f"{tool} ended well with {recipe}, but what it made has {len(errors)} errors",
            remedy=errors[0].fix or _KEEP.format(log=log),
            details="\n".join(f"{f.id}: {f.message} ({f.where})" for f in errors[:_SHOWN]),
        )
    for finding in findings:
        if finding.severity == WARNING:
            observe(Note(f"{finding.id}: {finding.message}", warning=True))
    return facts


def _check_coverage(prepared: Prepared, facts: Facts, log: str) -> None:
    """Read what the tool made; its exit code alone proves nothing."""
    tool, recipe = prepared.quantizer.name, prepared.recipe.name
    found = coverage(prepared.intent, facts)
    if found.complete:
        return
    if len(found.missed) > found.spare:
        experts = [m for m in found.missed if prepared.intent.components.get(m) == "experts"]
        remedy = (
            "The tool does not see the experts of this model with this toolchain's transformers "
            f"({prepared.toolchain.versions.get('transformers', 'unknown')}): newer ones hold them "
            "fused. Use the toolchain that the tool wants for the model (--toolchain, `qreg "
            "toolchain list`)."
            if experts
            else "Name the layers in the recipe's ignore or exclude list if they are meant to stay "
            "float; otherwise the tool does not support them."
        )
        raise ToolError(
            f"{tool} ended with exit code 0, but left {len(found.missed)} layers that recipe "
            f"{recipe} names as they were",
            remedy=f"{remedy} Its log is {log} .",
            details="\n".join(found.missed[:_SHOWN]),
        )
    if found.computations:
        raise ToolError(
            f"{tool} ended with exit code 0, but did not quantize {', '.join(found.computations)}",
            remedy=f"This model's kind may not support it. {_KEEP.format(log=log)}",
        )
    rows = [f"{module}: {have} in place of {want}" for module, want, have in found.other]
    raise ToolError(
        f"{tool} ended with exit code 0, but quantized {len(rows)} layers otherwise than recipe "
        f"{recipe} says",
        remedy=f"Look for a warning in its log, {log} .",
        details="\n".join(rows[:_SHOWN]),
    )
