"""Quantizing, start to end: check, run the tool, check again, measure, describe; all tracked."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from quantizers.checks import check_output
from quantizers.execution import run_command
from quantizers.interface import Job
from quantizers.placeholders import without_paths
from quantizers.places import remember
from quantizers.prepare import prepare
from quantizers.quality.after import measure_after
from quantizers.quality.perplexity import Perplexity
from quantizers.record import (
    evidence_of,
    inputs_of,
    known_paths,
    opening_tags,
    places_of,
    track_inputs,
    track_result,
    with_used,
)
from quantizers.request import Prepared, QuantizationRequest, QuantizationResult
from quantizers.side_files import complete_side_files
from registry.artifact import Manifest
from registry.clock import utc_now
from registry.config import Settings
from registry.describe import compose
from registry.errors import (
    QregError,
)
from registry.folder import hash_files, list_files
from registry.payload import MANIFEST_FILE
from registry.progress import Note, Observer, ignore
from registry.staging import lock_of, partial_of, staged_folder
from registry.tracking.release import experiment_name
from registry.tracking.run import TrackedRun, tracked_run

Judge = Callable[[Path, Manifest, TrackedRun], None]


def quantize(
    request: QuantizationRequest,
    settings: Settings,
    observe: Observer = ignore,
    *,
    judge: Judge | None = None,
) -> QuantizationResult:
    """Quantize a model inside a tracked run.

    Args:
        request: what is asked for.
        settings: where things are kept.
        observe: is told how it goes.
        judge: looks at the folder, its manifest and the run once all is done, before the folder
            goes to its place and the run ends; what it raises fails both.

    Raises:
        UsageError, NotFoundError, IntegrityError, IncompatibleError: before anything heavy starts,
            see `quantizers.preflight`.
        NotAllowedError: the model cannot be loaded without its own Python code.
        ToolError: the tool failed, or ended well and left layers unquantized; the run is FAILED
            and nothing is left in the output.
    """
    started = time.monotonic()
    prepared = prepare(request, settings, observe)
    request = prepared.request
    if not any(path.startswith("tokenizer") for path in prepared.checkpoint.files):
        observe(Note(f"{prepared.source} has no tokenizer: engines need one", warning=True))
    work = Path(tempfile.mkdtemp(prefix="qreg-quantize-"))
    try:
        with tracked_run(
            settings,
            experiment=experiment_name(prepared.base),
            run_name=f"{request.name.rpartition('/')[2]} {prepared.recipe.name}",
            tags=opening_tags(prepared),
            scratch=(partial_of(prepared.output), lock_of(prepared.output), work),
            observe=observe,
        ) as run:
            log = settings.logs / f"quantize-{run.identity}.log"
            try:
                with staged_folder(prepared.output) as partial:
                    job = Job(
                        source=prepared.source,
                        output=partial,
                        recipe=prepared.recipe,
                        calibration=_given(prepared),
                        work=work,
                        checkpoint=prepared.checkpoint,
                        anti_dataset=request.anti_dataset and request.anti_dataset.absolute(),
                        options=request.options,
                    )
                    manifest, perplexity = _carry_out(prepared, settings, job, run, log, observe)
                    track_result(run, prepared, manifest, partial)
                    if judge is not None:
                        judge(partial, manifest, run)
                    remember(settings, manifest.digest, places_of(prepared))
            finally:
                if log.is_file():
                    run.artifact(log, "logs")
                run.metrics({"time/total_seconds": time.monotonic() - started})
        return QuantizationResult(
            folder=prepared.output,
            manifest=manifest,
            perplexity=perplexity,
            seconds=time.monotonic() - started,
            size_before=prepared.checkpoint.weight_bytes,
            size_after=int(manifest.footprint["weights"]),
            run_id=manifest.provenance.get("mlflow_run"),
            log=log,
        )
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _given(prepared: Prepared) -> Path | str | None:
    """The user's calibration set as the tool shall see it; None for one of the tool's own."""
    found = prepared.calibration
    return (found.where or found.name) if found and found.own else None


def _carry_out(
    prepared: Prepared,
    settings: Settings,
    job: Job,
    run: TrackedRun,
    log: Path,
    observe: Observer,
) -> tuple[Manifest, Perplexity | None]:
    source_paths = list_files(prepared.source, follow_outside=True)
    source_files = hash_files(prepared.source, source_paths, observe, stage="hashing the source")
    command = prepared.quantizer.command(job, prepared.toolchain)
    command = replace(command, env={**command.env, **prepared.request.environment})
    inputs = inputs_of(prepared, source_files, command, job)
    track_inputs(run, prepared, inputs, command, job.work)
    began = utc_now()
    finished, warnings = run_command(prepared, command, job, log, observe)
    ended = utc_now()
    prepared.quantizer.finish(job)
    completed = complete_side_files(prepared.source, job.output)
    if completed:
        observe(Note(f"{prepared.quantizer.name} left out {', '.join(completed)}: copied"))
    try:
        facts = check_output(prepared, job, str(log), observe)
    except QregError:
        if prepared.request.keep_rejected:
            _keep(job.output, prepared.output, observe)
        raise
    run.metrics(
        {
            "time/tool_seconds": finished.seconds,
            "memory/peak_rss_bytes": finished.peak_rss,
            "size/before_bytes": prepared.checkpoint.weight_bytes,
            "size/after_bytes": facts.checkpoint.weight_bytes,
        }
    )
    measured = measure_after(prepared, settings, job, run, inputs, log, finished.seconds, observe)
    provenance = {
        **with_used(inputs, job.work),
        "started": began,
        "ended": ended,
        "exit_code": finished.code,
        "warnings": [without_paths(line, known_paths(prepared, job)) for line in warnings],
        "seconds": round(finished.seconds, 1),
        "peak_rss": finished.peak_rss,
        "mlflow_run": run.run_id,
        "activity": run.identity,
        "quality": dict(measured.figures),
        **({"evaluation": dict(measured.extent)} if measured.extent else {}),
    }
    files = hash_files(job.output, list_files(job.output), observe, stage="hashing the result")
    manifest = compose(facts.checkpoint, files, name=prepared.request.name, provenance=provenance)
    manifest = replace(
        manifest, evidence=evidence_of(manifest, prepared.base, measured.figures, measured.extent)
    )
    (job.output / MANIFEST_FILE).write_bytes(manifest.to_bytes())
    return manifest, measured.perplexity


def rejected_of(output: Path) -> Path:
    """A folder beside an output for what was made and did not pass the checks: a new one."""
    numbers = itertools.count(2)
    found = output.with_name(f"{output.name}.rejected")
    while found.exists():
        found = output.with_name(f"{output.name}.rejected-{next(numbers)}")
    return found


def _keep(made: Path, output: Path, observe: Observer) -> None:
    """Move what was made beside its place, as it cost hours; `staged_folder` removes what is left.

    It has no qreg.json, so that nothing takes it for an artifact by mistake.
    """
    target = rejected_of(output)
    made.rename(target)
    text = f"What was made is kept in {target} . Look at it with qreg lint {target}"
    observe(Note(f"{text} , and remove it when you are done", warning=True))
