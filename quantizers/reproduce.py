"""Running a recorded quantization again, and comparing what comes out with what is recorded."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from quantizers.comparison import TensorChange, tensor_changes
from quantizers.consent import check_recorded_code
from quantizers.interface import Options
from quantizers.places import Places, recall
from quantizers.recorded import Record, read_record
from quantizers.recorded_script import Given, find_recorded_script
from quantizers.recorded_sets import find_recorded_set
from quantizers.request import QuantizationRequest
from quantizers.run import quantize
from registry.artifact import Manifest, payload_digest
from registry.checkpoint import open_checkpoint
from registry.config import Settings
from registry.errors import IncompatibleError, IntegrityError, NotFoundError, UsageError
from registry.folder import hash_files, list_files
from registry.lint.target import Target
from registry.payload import is_payload
from registry.progress import Note, Observer, ignore
from registry.resolve import Resolved, resolve
from registry.tracking.run import TrackedRun
from registry.transfer.verification import check_files
from toolchains import find_toolchain

# The one file that a recorded recipe is written to, whatever it is called.
_RECIPE = "recipe.yaml"


@dataclass(frozen=True)
class Again:
    """What a user gives for running it again, beside the reference.

    Attributes:
        source: where the float model is now; empty: where it was.
        calibration: where the user's set is now; None: where it was, or none was used.
        anti_dataset: the same for smoothing.
        script: the script that was run, in its checkout.
        output: where to keep what comes out; None: only if it differs, below the data folder.
        any_toolchain: go on where the toolchain is another one than recorded.
        trust_remote_code: whether the model's own Python code may run, where it ran then.
        arguments: of the script; they have to be the recorded ones.
    """

    source: str = ""
    calibration: Path | None = None
    anti_dataset: Path | None = None
    script: Path | None = None
    output: Path | None = None
    any_toolchain: bool = False
    trust_remote_code: bool = False
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reproduction:
    """What came out.

    Attributes:
        recorded, new: digests of the artifacts.
        tensors: how many tensors are alike; None where the recorded ones are not on this machine.
        changed: tensors that are not.
        files: files that are not alike, `PATH: what`.
        environment: what is not as recorded in the toolchain.
        folder: where the new artifact is; None if it was not kept.
        run_id: of MLflow.
        seconds: of the whole.
    """

    recorded: str
    new: str
    tensors: int | None
    changed: tuple[TensorChange, ...]
    files: tuple[str, ...]
    environment: tuple[str, ...] = field(default=())
    folder: Path | None = None
    run_id: str | None = None
    seconds: float = 0.0

    @property
    def identical(self) -> bool:
        """Whether every file that loading reads is the same."""
        return self.recorded == self.new


def reproduce(
    reference: str, settings: Settings, again: Again | None = None, observe: Observer = ignore
) -> Reproduction:
    """Run the recorded recipe in the recorded toolchain again, and compare.

    Of the record only the recipe runs, and that only if it names neither files nor code; that code
    of the model may run, and what a script is told, comes from the user again.

    Args:
        reference: an artifact with provenance that qreg wrote.
        settings: where things are kept.
        again: what is not found where it was.
        observe: is told how it goes.

    Raises:
        IncompatibleError: nothing of how it was made is recorded, or what nobody should run; it was
            converted or mended after that, or the toolchain is another one.
        IntegrityError: its files are not what its manifest says, or source, calibration set, script
            or the model's code are not what is recorded.
        NotAllowedError: code of the model ran then, and the user does not allow it now.
        UsageError: a calibration set is not where it was, or a script or its arguments have to be
            given, see `quantizers.recorded_script`.
        QregError: as `quantize` raises.
    """
    again, began = again or Again(), time.monotonic()
    resolved = resolve(reference, settings, observe=observe)
    manifest = resolved.manifest(observe)
    record = read_record(manifest)
    given = find_recorded_script(record, again.script, again.arguments, settings, observe)
    again = _with(again, given)
    if resolved.folder is not None:
        # Else a digest would be compared that the files do not have.
        check_files(resolved.folder, manifest, settings, observe)
    places = recall(settings, record.digest)
    source = _source(record, places, again, settings, observe)
    code = check_recorded_code(source, record.ran_code, record.code, again.trust_remote_code)
    if again.trust_remote_code and code is None:
        text = "it ran no code of the model, and neither does this"
        observe(Note(f"--trust-remote-code is left out: as {record.artifact} was made, {text}"))
    environment = _environment(record, settings, again)
    for text in environment:
        observe(Note(f"Not as recorded: {text}", warning=True))
    output = again.output or (
        settings.outputs
        / record.artifact
        / time.strftime("reproduced-%Y%m%d-%H%M%S", time.gmtime())
    )
    found: list[Reproduction] = []

    def judge(folder: Path, made: Manifest, run: TrackedRun) -> None:
        compared = _compare(resolved, manifest, folder, made, observe)
        found.append(compared)
        run.tags({"qreg.reproduced": "identical" if compared.identical else "different"})
        run.metrics(
            {
                "reproduce/tensors_alike": compared.tensors or 0,
                "reproduce/tensors_changed": len(compared.changed),
                "reproduce/files_changed": len(compared.files),
            }
        )

    with tempfile.TemporaryDirectory(prefix="qreg-reproduce-") as work:
        request = _request(record, places, source, output, again, given.text, Path(work))
        result = quantize(request, settings, observe, judge=judge)
    keep = again.output is not None or not found[0].identical
    if not keep:
        shutil.rmtree(result.folder)
    return Reproduction(
        **{
            **vars(found[0]),
            "environment": environment,
            "folder": result.folder if keep else None,
            "run_id": result.run_id,
            "seconds": time.monotonic() - began,
        }
    )


def _with(again: Again, given: Given) -> Again:
    """What the user gives, with sets in their place that were named among a script's arguments."""
    return replace(
        again,
        arguments=given.arguments,
        calibration=again.calibration or given.sets.get("calibration"),
        anti_dataset=again.anti_dataset or given.sets.get("anti_dataset"),
    )


def _source(
    record: Record, places: Places, again: Again, settings: Settings, observe: Observer
) -> Path:
    """The folder of the float model, every byte of it as recorded."""
    named = again.source or places.source or record.base_reference
    if not named:
        raise NotFoundError(
            f"Where the float model {record.base} is, is not known on this machine",
            remedy=f"Say where: --source FOLDER or REFERENCE; it has {record.base_digest} .",
        )
    if not again.source and not places.source:
        observe(Note(f"The record of {record.artifact} names its float model: {named}"))
    try:
        resolved = resolve(named, settings, observe=observe)
    except (NotFoundError, UsageError) as error:
        raise NotFoundError(
            f"The float model {named} is not there any more",
            remedy="Say where it is now: --source FOLDER or REFERENCE.",
        ) from error
    if resolved.folder is None:
        raise IncompatibleError(
            f"{resolved.reference} is not on this machine",
            remedy="Pull it first, and give its folder: --source FOLDER .",
        )
    folder = resolved.folder.absolute()
    paths = list_files(folder, follow_outside=True)
    digest = payload_digest(hash_files(folder, paths, observe, stage="hashing the source"))
    if digest != record.base_digest:
        raise IntegrityError(
            f"{named} is not the float model that is recorded: it has {digest}, recorded is "
            f"{record.base_digest}",
            remedy="Say where the recorded one is: --source FOLDER or REFERENCE.",
        )
    return folder


def _environment(record: Record, settings: Settings, again: Again) -> tuple[str, ...]:
    """What of the toolchain is not as recorded; refused if that is not accepted."""
    toolchain = find_toolchain(record.toolchain, settings)
    differences = [
        f"{package} {toolchain.versions.get(package, 'is missing')}, recorded is {version}"
        for package, version in record.versions.items()
        if toolchain.versions.get(package) != version
    ]
    if record.lock_digest != toolchain.lock_digest and not differences:
        differences.append("another lock file")
    if differences and not again.any_toolchain:
        raise IncompatibleError(
            f"Toolchain {toolchain.name} is not the recorded one: {'; '.join(differences)}",
            remedy="Install the recorded versions and name that environment (qreg toolchain use "
            f"{toolchain.name} --python PATH), or go on with --any-toolchain .",
        )
    return tuple(differences)


def _request(
    record: Record,
    places: Places,
    source: Path,
    output: Path,
    again: Again,
    script: str,
    work: Path,
) -> QuantizationRequest:
    path = work / _RECIPE
    if not script:
        path.write_text(record.recipe_text, encoding="utf-8")
    # How many threads work is split among decides the order of sums, and so the last bits.
    threads = {"OMP_NUM_THREADS": str(record.threads)} if record.threads else {}
    return QuantizationRequest(
        source=str(source),
        name=record.artifact,
        tool=record.tool,
        recipe=str(path),
        recipe_name=record.recipe_name,
        output=output,
        calibration=find_recorded_set("calibration", record, places, again.calibration),
        anti_dataset=find_recorded_set("anti_dataset", record, places, again.anti_dataset),
        evaluate=False,
        target=Target(record.chip),
        toolchain=record.toolchain,
        options=Options(
            device=record.device,
            model_type=record.model_type,
            trust_remote_code=record.ran_code and again.trust_remote_code,
            script=again.script,
            arguments=again.arguments,
            untouched=_untouched(record),
            procedure=record.procedure,
        ),
        tags={"qreg.reproduces": str(record.digest)},
        environment=threads,
    )


def _untouched(record: Record) -> tuple[str, ...]:
    """Uses of sets that a script read as they are: they hold no texts that could be counted."""
    return tuple(use for use, found in record.sets.items() if record.script and not found.texts)


def _compare(
    resolved: Resolved, recorded: Manifest, folder: Path, made: Manifest, observe: Observer
) -> Reproduction:
    before = {e.path: e.sha256 for e in recorded.files if is_payload(e.path)}
    after = {e.path: e.sha256 for e in made.files if is_payload(e.path)}
    files = []
    for path in sorted(before.keys() | after.keys()):
        if path not in after:
            files.append(f"{path}: is not there any more")
        elif path not in before:
            files.append(f"{path}: is new")
        elif before[path] != after[path]:
            files.append(f"{path}: has other bytes")
    checkpoint = open_checkpoint(folder)
    alike: int | None = len(checkpoint.tensors)
    changed: list[TensorChange] = []
    if any(path.partition(":")[0].endswith(".safetensors") for path in files):
        if resolved.folder is None:
            alike = None
        else:
            alike, changed = tensor_changes(open_checkpoint(resolved.folder), checkpoint, observe)
    return Reproduction(str(recorded.digest), str(made.digest), alike, tuple(changed), tuple(files))
