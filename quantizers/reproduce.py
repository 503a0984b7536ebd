"""Running a recorded quantization again, and comparing what comes out with what is recorded."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quantizers.comparison import TensorChange, tensor_changes
from quantizers.interface import Options
from quantizers.recorded import recorded_set
from quantizers.request import QuantizationRequest
from quantizers.run import quantize
from registry.artifact import Manifest, is_payload, payload_digest
from registry.checkpoint import open_checkpoint
from registry.config import Settings
from registry.errors import IncompatibleError, IntegrityError, NotFoundError, UsageError
from registry.folder import hash_files, list_files
from registry.lint.target import CHIPS, Target
from registry.progress import Note, Observer, ignore
from registry.resolve import Resolved, resolve
from registry.tracking.run import TrackedRun
from registry.transfer.verification import check_files
from toolchains import find_toolchain

# How many threads work is split among decides the order of sums, and so the last bits.
_REPEATED = ("OMP_NUM_THREADS",)


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
    """

    source: str = ""
    calibration: Path | None = None
    anti_dataset: Path | None = None
    script: Path | None = None
    output: Path | None = None
    any_toolchain: bool = False


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

    Args:
        reference: an artifact with provenance that qreg wrote.
        settings: where things are kept.
        again: what is not found where it was.
        observe: is told how it goes.

    Raises:
        IncompatibleError: nothing of how it was made is recorded, it was converted or mended after
            that, or the toolchain is another one.
        IntegrityError: its files are not what its manifest says, or source, calibration set or
            script are not what is recorded.
        UsageError: a calibration set is not where it was, or a script has to be given.
        QregError: as `quantize` raises.
    """
    again, began = again or Again(), time.monotonic()
    resolved = resolve(reference, settings, observe=observe)
    manifest = resolved.manifest(observe)
    record = _record(manifest)
    if resolved.folder is not None:
        # Else a digest would be compared that the files do not have.
        check_files(resolved.folder, manifest, settings, observe)
    source = _source(record, again, settings, observe)
    environment = _environment(record, settings, again)
    for text in environment:
        observe(Note(f"Not as recorded: {text}", warning=True))
    output = again.output or (
        settings.outputs / manifest.name / time.strftime("reproduced-%Y%m%d-%H%M%S", time.gmtime())
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
        request = _request(record, manifest, source, output, again, Path(work))
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


def _record(manifest: Manifest) -> Mapping[str, Any]:
    """The provenance, if it tells what is needed; raises IncompatibleError."""
    record = manifest.provenance
    tables = [record.get(key) for key in ("base", "tool", "toolchain", "recipe")]
    told = all(isinstance(table, Mapping) for table in tables)
    if not told or record.get("claimed") or not record["recipe"].get("text"):
        raise IncompatibleError(
            f"How {manifest.name} was made is not recorded, or only claimed",
            remedy="qreg can run again what `qreg quantize` made: its qreg.json holds recipe, "
            "source, toolchain and options.",
        )
    derived = record.get("derived_from")
    if isinstance(derived, Mapping):
        raise IncompatibleError(
            f"{manifest.name} was not quantized, but made from {derived.get('name') or 'another'}",
            remedy="Reproduce that one, and then do the same with it again: qreg convert, or "
            "qreg lint --fix .",
        )
    return record


def _source(record: Mapping[str, Any], again: Again, settings: Settings, observe: Observer) -> Path:
    """The folder of the float model, every byte of it as recorded."""
    base = record["base"]
    named = again.source or str(base.get("reference") or base.get("name"))
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
    if str(digest) != base.get("digest"):
        raise IntegrityError(
            f"{named} is not the float model that is recorded: it has {digest}, recorded is "
            f"{base.get('digest')}",
            remedy="Say where the recorded one is: --source FOLDER or REFERENCE.",
        )
    return folder


def _environment(record: Mapping[str, Any], settings: Settings, again: Again) -> tuple[str, ...]:
    """What of the toolchain is not as recorded; refused if that is not accepted."""
    recorded = record["toolchain"]
    toolchain = find_toolchain(str(recorded.get("name")), settings)
    differences = [
        f"{package} {toolchain.versions.get(package, 'is missing')}, recorded is {version}"
        for package, version in dict(recorded.get("versions") or {}).items()
        if toolchain.versions.get(package) != version
    ]
    if recorded.get("lock_digest") != toolchain.lock_digest and not differences:
        differences.append("another lock file")
    if differences and not again.any_toolchain:
        raise IncompatibleError(
            f"Toolchain {toolchain.name} is not the recorded one: {'; '.join(differences)}",
            remedy="Install the recorded versions and name that environment (qreg toolchain use "
            f"{toolchain.name} --python PATH), or go on with --any-toolchain .",
        )
    return tuple(differences)


def _request(
    record: Mapping[str, Any],
    manifest: Manifest,
    source: Path,
    output: Path,
    again: Again,
    work: Path,
) -> QuantizationRequest:
    options, recipe = dict(record.get("options") or {}), record["recipe"]
    path = work / f"{recipe['name']}.yaml"
    path.write_text(str(recipe["text"]), encoding="utf-8")
    script = again.script.read_text(encoding="utf-8") if again.script else ""
    if options.get("script") and script != recipe["text"]:
        raise UsageError(
            f"{manifest.name} was made by the script {options['script']}",
            remedy="Name the same version of it: --script PATH .",
        )
    environment = dict(record.get("environment") or {})
    return QuantizationRequest(
        source=str(source),
        name=manifest.name,
        tool=str(record["tool"]["name"]),
        recipe=str(path),
        output=output,
        calibration=recorded_set("calibration", record, again.calibration),
        anti_dataset=recorded_set("anti_dataset", record, again.anti_dataset),
        evaluate=False,
        target=Target(CHIPS.get(str(options.get("target")))),
        toolchain=str(record["toolchain"].get("name") or ""),
        options=Options(
            device=str(options.get("device", "")),
            model_type=str(options.get("model_type", "")),
            trust_remote_code=bool(options.get("trust_remote_code")),
            script=again.script,
            arguments=tuple(options.get("arguments") or ()),
        ),
        tags={"qreg.reproduces": str(manifest.digest)},
        environment={k: str(environment[k]) for k in _REPEATED if k in environment},
    )


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
