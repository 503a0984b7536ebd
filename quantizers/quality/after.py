"""Measuring what a quantization did, as the last part of its run: for a while, or all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quantizers.interface import Job
from quantizers.quality.budget import NONE, SHORT, Budget, OutOfTime, budget_of, mode_of
from quantizers.quality.perplexity import MAX_TOKENS, Perplexity, measure_perplexity
from quantizers.quality.text import held_out_text
from quantizers.quality.tracked import track_quality
from quantizers.request import Prepared
from registry.config import Settings
from registry.errors import IncompatibleError, NotAllowedError, NotFoundError, ToolError
from registry.progress import Note, Observer
from registry.tracking.run import TrackedRun
from toolchains import find_toolchain

_MORE = "`--evaluate full` measures all of it, and `qreg quality` does so later"


@dataclass(frozen=True)
class Measured:
    """What was measured.

    Attributes:
        perplexity: float and quantized; None where predictions were not measured.
        figures: for the manifest; see `track_quality`.
        extent: how much that is of: `mode`, `tokens` of `of_tokens`, `layers_compared`,
            `layers_left_out`. Figures of another extent are not to be compared with these.
    """

    perplexity: Perplexity | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    extent: Mapping[str, Any] = field(default_factory=dict)


def measure_after(
    prepared: Prepared,
    settings: Settings,
    job: Job,
    run: TrackedRun,
    inputs: Mapping[str, Any],
    log: Path,
    tool_seconds: float,
    observe: Observer,
) -> Measured:
    """Measure predictions and weights, as far as the request wants it.

    What cannot be measured costs no artifact: a note says why.

    Args:
        prepared: the request, with all that it names.
        settings: where the toolchain is.
        job: that was carried out.
        run: takes the figures.
        inputs: the record of what went in.
        log: takes the worker's output.
        tool_seconds: that the tool took; a short measurement takes no longer, or a minute.
        observe: is told what is measured, and how much of it there was time for.
    """
    mode = mode_of(prepared.request.evaluate)
    if mode == NONE:
        return Measured()
    budget = budget_of(mode, tool_seconds)
    perplexity: Perplexity | None = None
    extent: dict[str, Any] = {"mode": mode}
    try:
        observe(Note(_beginning(mode, budget)))
        perplexity = _predictions(prepared, settings, job, log, budget, observe)
        if perplexity is not None:
            extent |= {"tokens": perplexity.tokens, "of_tokens": perplexity.of_tokens}
        figures = track_quality(
            run,
            prepared.source,
            job.output,
            name=prepared.request.name,
            provenance=inputs,
            perplexity=perplexity,
            work=job.work,
            budget=budget,
            extent=extent,
            observe=observe,
        )
    except KeyboardInterrupt as error:
        if type(error) is not KeyboardInterrupt:  # SIGTERM: the machine wants it to end
            raise
        # Hours of work are done and checked.
        text = "Measuring was stopped; what was made is kept. Ctrl-C again stops that, too"
        observe(Note(text, warning=True))
        return Measured(perplexity, {}, extent)
    run.tags({"qreg.evaluation": mode})
    told = _told(extent)
    if told:
        observe(Note(f"Measured {told}: {_MORE}"))
    return Measured(perplexity, figures, extent)


def _beginning(mode: str, budget: Budget) -> str:
    what = (
        "the perplexity of the source and of the result on a text, and the error of each layer's "
        "weights"
    )
    if mode == SHORT:
        return f"Measuring {what}, for at most {budget.left or 0:.0f} s"
    return (
        f"Measuring {what}: all of it, up to {MAX_TOKENS:,} tokens with both models. Without a GPU "
        "that takes minutes, and hours for large models; Ctrl-C ends it and keeps what was made"
    )


def _told(extent: Mapping[str, Any]) -> str:
    """How much of it was measured; empty where that is all."""
    parts = []
    if extent.get("tokens", 0) < extent.get("of_tokens", 0):
        parts.append(f"perplexity on {extent['tokens']:,} of {extent['of_tokens']:,} tokens")
    left_out = extent.get("layers_left_out", 0)
    if left_out:
        total = left_out + extent["layers_compared"]
        parts.append(f"the weights of {extent['layers_compared']:,} of {total:,} layers")
    return " and ".join(parts)


def _predictions(
    prepared: Prepared,
    settings: Settings,
    job: Job,
    log: Path,
    budget: Budget,
    observe: Observer,
) -> Perplexity | None:
    text = prepared.request.evaluation_text
    if text is None:
        text = job.work / "held-out.txt"
        text.write_text(held_out_text(), encoding="utf-8")
    try:
        return measure_perplexity(
            {"float": prepared.source, "quantized": job.output},
            text.absolute(),
            find_toolchain("llmcompressor", settings),
            work=job.work,
            log=log,
            trust_remote_code=job.options.trust_remote_code,
            budget=budget.for_predictions(),
            observe=observe,
        )
    except OutOfTime:
        observe(Note(f"There was no time to measure the perplexity: {_MORE}"))
        return None
    except (IncompatibleError, NotAllowedError, NotFoundError, ToolError) as error:
        # The artifact is whole and checked; that it could not be measured must not cost it.
        observe(Note(f"{error.message}. {error.details.strip()}", warning=True))
        return None
