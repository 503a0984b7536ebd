"""Quantizing, start to end: check, run the tool, check again, measure, describe; all tracked."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

from quantizers.catalogue import open_quantizer
from quantizers.interface import Command, Job
from quantizers.preflight import check_evaluation_text, check_job
from quantizers.quality.perplexity import Perplexity, measure_perplexity
from quantizers.quality.text import held_out_text
from quantizers.quality.tracked import track_quality
from quantizers.recipe import load_recipe
from quantizers.record import inputs_of, opening_tags, track_inputs, track_result
from quantizers.request import Prepared, QuantizationRequest, QuantizationResult
from quantizers.side_files import complete_side_files
from registry.artifact import MANIFEST_FILE, Manifest, payload_digest
from registry.checkpoint import Checkpoint, open_checkpoint
from registry.clock import utc_now
from registry.config import Settings
from registry.describe import compose
from registry.errors import IncompatibleError, ToolError
from registry.folder import hash_files, list_files
from registry.names import check_name
from registry.progress import Note, Observer, Progress, ignore
from registry.resolve import resolve
from registry.staging import lock_of, partial_of, staged_folder
from registry.tracking.release import experiment_name
from registry.tracking.run import TrackedRun, tracked_run
from toolchains import Finished, find_toolchain, run_tool

_OUT_OF_MEMORY = "The system killed it, most likely for memory: use a machine with more."


def quantize(
    request: QuantizationRequest, settings: Settings, observe: Observer = ignore
) -> QuantizationResult:
    """Quantize a model inside a tracked run.

    Raises:
        UsageError, NotFoundError, IntegrityError, IncompatibleError: before anything heavy starts,
            see `quantizers.preflight`.
        ToolError: the tool failed, or ended well and left layers unquantized; the run is FAILED
            and nothing is left in the output.
    """
    started = time.monotonic()
    prepared = _prepare(request, settings)
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
                        calibration=request.calibration and request.calibration.absolute(),
                        work=work,
                        trust_remote_code=request.trust_remote_code,
                    )
                    manifest, perplexity = _carry_out(prepared, job, run, log, observe)
                    track_result(run, prepared, manifest, partial)
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


def _prepare(request: QuantizationRequest, settings: Settings) -> Prepared:
    check_name(request.name)
    quantizer = open_quantizer(request.tool)
    recipe = load_recipe(request.recipe, request.tool)
    resolved = resolve(request.source, settings)
    if resolved.folder is None:
        raise IncompatibleError(
            f"{resolved.reference} is not on this machine",
            remedy="Pull it first, and quantize the folder.",
        )
    output = request.output or (
        settings.outputs / request.name / time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    )
    source, output = resolved.folder.absolute(), output.absolute().resolve()
    checkpoint = check_job(quantizer, source, output, recipe, request.calibration)
    check_evaluation_text(request.evaluation_text)
    toolchain = find_toolchain(quantizer.toolchain, settings)
    base = resolved.snapshot.manifest.name if resolved.snapshot else source.resolve().name
    return Prepared(request, quantizer, recipe, toolchain, source, base, checkpoint, output)


def _carry_out(
    prepared: Prepared, job: Job, run: TrackedRun, log: Path, observe: Observer
) -> tuple[Manifest, Perplexity | None]:
    source_paths = list_files(prepared.source, follow_outside=True)
    source_files = hash_files(prepared.source, source_paths, observe, stage="hashing the source")
    source_digest = payload_digest(source_files)
    command = prepared.quantizer.command(job, prepared.toolchain)
    inputs = inputs_of(prepared, str(source_digest), command)
    track_inputs(run, prepared, inputs, job.work)
    began = utc_now()
    finished = _run(prepared, command, job, log, observe)
    complete_side_files(prepared.source, job.output)
    output = _checked_output(prepared, job, finished, log)
    run.metrics(
        {
            "time/tool_seconds": finished.seconds,
            "memory/peak_rss_bytes": finished.peak_rss,
            "size/before_bytes": prepared.checkpoint.weight_bytes,
            "size/after_bytes": output.weight_bytes,
        }
    )
    perplexity = _evaluate(prepared, job, log, observe)
    quality: dict[str, float] = {}
    if prepared.request.evaluate:
        quality = track_quality(
            run,
            prepared.source,
            job.output,
            name=prepared.request.name,
            provenance=inputs,
            perplexity=perplexity,
            work=job.work,
            observe=observe,
        )
    provenance = {
        **inputs,
        "started": began,
        "seconds": round(finished.seconds, 1),
        "peak_rss": finished.peak_rss,
        "mlflow_run": run.run_id,
        "activity": run.identity,
        "quality": quality,
    }
    files = hash_files(job.output, list_files(job.output), observe, stage="hashing the result")
    manifest = compose(output, files, name=prepared.request.name, provenance=provenance)
    (job.output / MANIFEST_FILE).write_bytes(manifest.to_bytes())
    return manifest, perplexity


def _run(prepared: Prepared, command: Command, job: Job, log: Path, observe: Observer) -> Finished:
    def on_line(line: str) -> None:
        progress = prepared.quantizer.read_line(line)
        if progress is not None:
            observe(progress)

    observe(Progress(f"starting {prepared.quantizer.name} {prepared.toolchain.version}"))
    finished = run_tool(command.argv, log=log, env=command.env, cwd=job.work, on_line=on_line)
    if finished.code != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        reason = f"signal {-finished.code}" if finished.code < 0 else f"exit code {finished.code}"
        raise ToolError(
            f"{prepared.quantizer.name} failed ({reason})",
            remedy=_OUT_OF_MEMORY
            if finished.code == -9
            else prepared.quantizer.explain(tail) or f"The whole log is {log} .",
            details=tail,
        )
    return finished


def _checked_output(prepared: Prepared, job: Job, finished: Finished, log: Path) -> Checkpoint:
    """Read what the tool made; its exit code alone proves nothing."""
    output = open_checkpoint(job.output)
    missed = prepared.quantizer.uncovered(prepared.checkpoint, output, prepared.recipe)
    if missed:
        raise ToolError(
            f"{prepared.quantizer.name} ended with exit code {finished.code}, but left "
            f"{len(missed)} layers that recipe {prepared.recipe.name} names as they were",
            remedy="Name the layers in the recipe's ignore list if they are meant to stay float; "
            f"otherwise the tool does not support them: see its log, {log} .",
            details="\n".join(missed[:20]),
        )
    return output


def _evaluate(prepared: Prepared, job: Job, log: Path, observe: Observer) -> Perplexity | None:
    if not prepared.request.evaluate:
        return None
    text = prepared.request.evaluation_text
    if text is None:
        text = job.work / "held-out.txt"
        text.write_text(held_out_text(), encoding="utf-8")
    try:
        return measure_perplexity(
            {"float": prepared.source, "quantized": job.output},
            text.absolute(),
            prepared.toolchain,
            work=job.work,
            log=log,
            trust_remote_code=job.trust_remote_code,
            observe=observe,
        )
    except (IncompatibleError, ToolError) as error:
        # The artifact is whole and checked; that it could not be measured must not cost it.
        observe(Note(f"{error.message}. {error.details.strip()}", warning=True))
        return None
