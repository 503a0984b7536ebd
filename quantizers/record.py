"""What a quantization leaves on record: the manifest's provenance, and its MLflow run."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from quantizers.calibration import digest_of
from quantizers.interface import USED, Command, Job
from quantizers.modelslim.devices import ALLOCATION, VISIBLE
from quantizers.placeholders import (
    placed_argument,
    published_reference,
    value_of,
    without_paths,
)
from quantizers.places import Places
from quantizers.quality.tracked import OF_WEIGHTS
from quantizers.request import Prepared, QuantizationRequest
from registry.artifact import FileEntry, Manifest, payload_digest
from registry.checkpoint.architecture import read_architecture
from registry.checkpoint.remote_code import RemoteCode
from registry.clock import utc_now
from registry.payload import MANIFEST_FILE, is_payload
from registry.tracking.run import TrackedRun

# Where CANN is installed by default: PREFIX/MACHINE-linux/ascend_toolkit_install.info .
_CANN = tuple(Path("/usr/local/Ascend", name, "latest") for name in ("ascend-toolkit", "cann"))
_LIBRARIES = (
    *("torch", "torch-npu", "transformers", "tokenizers", "safetensors", "accelerate", "datasets"),
    *("compressed-tensors", "llmcompressor", "msmodelslim", "numpy"),
)


def opening_tags(prepared: Prepared) -> dict[str, str]:
    return {
        "mlflow.note.content": f"{prepared.recipe.title}\n\n{prepared.base} → "
        f"{prepared.request.name} with {prepared.quantizer.name} {prepared.toolchain.version}",
        "qreg.name": prepared.request.name,
        "qreg.base": prepared.base,
        "qreg.tool": prepared.quantizer.name,
        "qreg.recipe": prepared.recipe.name,
        **prepared.request.tags,
    }


def inputs_of(
    prepared: Prepared, source: Iterable[FileEntry], command: Command, job: Job
) -> dict[str, Any]:
    """What goes in, for the manifest's provenance, with no path of this machine.

    Args:
        prepared: what was asked.
        source: every file of the float model; those of its payload are recorded one by one.
        command: that is run.
        job: says which folders it works in.
    """
    known = known_paths(prepared, job)
    payload = [entry for entry in source if is_payload(entry.path)]
    request, toolchain = prepared.request, prepared.toolchain
    sets = {"calibration": prepared.calibration, "anti_dataset": prepared.anti_dataset}
    procedure = dict(prepared.quantizer.procedure(prepared.recipe, request.options))
    return {
        "base": {
            "name": prepared.base,
            "digest": str(payload_digest(payload)),
            "reference": published_reference(request.source),
            "dtype": read_architecture(prepared.checkpoint.config).dtype,
            "files": {entry.path: entry.sha256 for entry in sorted(payload)},
        },
        "tool": {"name": prepared.quantizer.name, "version": toolchain.version},
        "toolchain": {
            "name": toolchain.name,
            "lock_digest": toolchain.lock_digest,
            "python": toolchain.python_version,
            "cann": cann_version(),
            "versions": {k: v for k, v in toolchain.versions.items() if k.lower() in _LIBRARIES},
        },
        "recipe": {
            "name": prepared.recipe.name,
            "digest": f"sha256:{prepared.recipe.digest}",
            "text": prepared.recipe.text,
        },
        **{key: found.to_json() for key, found in sets.items() if found},
        **({"code": _code(prepared.code)} if prepared.code else {}),
        **({"checkout": dict(prepared.state)} if prepared.state else {}),
        **({"files": files} if (files := files_of(request.options.arguments)) else {}),
        "options": options_of(request),
        **({"procedure": procedure} if procedure else {}),
        "command": [without_paths(word, known) for word in command.argv],
        "environment": {
            key: without_paths(value, known)
            for key, value in {**_seen(os.environ), **command.env}.items()
        },
    }


def known_paths(prepared: Prepared, job: Job) -> dict[str, str]:
    """What paths of a job are called in its record."""
    found = {
        job.source: "{source}",
        job.output: "{output}",
        job.work: "{work}",
        job.work.resolve(): "{work}",
        prepared.output: "{output}",
        prepared.toolchain.python: "{python}",
        Path(__file__).parent: "{qreg}",
    }
    if script := prepared.request.options.script:
        found[script.absolute().parent] = "{script}"
    return {str(path): name for path, name in found.items()}


def places_of(prepared: Prepared) -> Places:
    """Where source and sets are on this machine, for `qreg reproduce`."""
    sets = {"calibration": prepared.calibration, "anti_dataset": prepared.anti_dataset}
    where = {key: str(s.where) for key, s in sets.items() if s and s.own and s.where}
    return Places(_lasting(prepared.request.source), where)


def _lasting(source: str) -> str:
    """A source as it is found from any folder."""
    path = Path(source)
    return str(path.absolute()) if path.exists() else source


def _code(code: RemoteCode) -> dict[str, Any]:
    """Which Python code of the source was allowed to run."""
    return {"digest": str(code.digest), "files": [entry.path for entry in code.files]}


def files_of(arguments: Iterable[str]) -> dict[str, str]:
    """Digests of the files that a script's arguments name, by place and argument."""
    found = {}
    for number, word in enumerate(arguments, 1):
        path = Path(value_of(word))
        if path.is_absolute() and path.is_file():
            found[f"{number} {placed_argument(word)}"] = digest_of(path)
    return found


def _seen(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables of the user's that change what ModelSlim does."""
    return {
        key: value
        for key, value in environ.items()
        if key.startswith("MSMODELSLIM_") or key in (VISIBLE, ALLOCATION)
    }


def cann_version(folders: Iterable[Path] = _CANN) -> str | None:
    """The version of Ascend's CANN toolkit on this machine; None where there is none."""
    for folder in folders:
        for path in sorted(folder.glob("*/ascend_toolkit_install.info")):
            found = re.search(r"^version=(\S+)", path.read_text(errors="replace"), re.MULTILINE)
            if found:
                return found[1]
    return None


def options_of(request: QuantizationRequest) -> dict[str, Any]:
    """What was asked beside recipe and source, where it is not the usual."""
    options, target = request.options, request.target
    found = {
        "device": options.device,
        "model_type": options.model_type,
        "trust_remote_code": options.trust_remote_code,
        "script": options.script and options.script.name,
        "arguments": [placed_argument(word) for word in options.arguments],
        "target": target.chip and target.chip.name,
    }
    return {key: value for key, value in found.items() if value}


def with_used(inputs: dict[str, Any], work: Path) -> dict[str, Any]:
    """What went in, with what the tool says it used of the calibration set."""
    path, calibration = work / USED, inputs.get("calibration")
    if not path.is_file() or not isinstance(calibration, dict):
        return inputs
    return {**inputs, "calibration": {**calibration, "used": json.loads(path.read_text())}}


def evidence_of(
    manifest: Manifest, base: str, figures: Mapping[str, float], extent: Mapping[str, Any] = {}
) -> tuple[dict[str, Any], ...]:
    """What was measured of the result, as `qreg quality` records it; empty where nothing was."""
    if not figures:
        return ()
    named = {
        f"weights/{name}" if name in OF_WEIGHTS else name.replace("_", "/", 1): value
        for name, value in figures.items()
    }
    entry = {"kind": "quality", "time": utc_now(), "digest": str(manifest.digest), "base": base}
    return ({**entry, "figures": named, **({"extent": dict(extent)} if extent else {})},)


def track_inputs(
    run: TrackedRun, prepared: Prepared, inputs: Mapping[str, Any], command: Command, work: Path
) -> None:
    """What goes in, for the run: with the paths of this machine, as a run is not published."""
    calibration, request = inputs.get("calibration") or {}, prepared.request
    run.params(
        {
            "source": _lasting(prepared.request.source),
            "source_digest": inputs["base"]["digest"],
            "tool": inputs["tool"]["name"],
            "tool_version": inputs["tool"]["version"],
            "recipe": inputs["recipe"]["name"],
            "recipe_digest": inputs["recipe"]["digest"],
            "calibration": calibration.get("file"),
            "calibration_digest": calibration.get("digest"),
            "anti_dataset_digest": (inputs.get("anti_dataset") or {}).get("digest"),
            "checkout": inputs.get("checkout", {}).get("commit"),
            "toolchain_lock": inputs["toolchain"]["lock_digest"],
            "command": json.dumps(list(command.argv)),
            "code_digest": inputs.get("code", {}).get("digest"),
            **{f"procedure.{k}": v for k, v in inputs.get("procedure", {}).items()},
            **{f"version.{k}": v for k, v in inputs["toolchain"]["versions"].items()},
        }
    )
    given = {"calibration": request.calibration, "anti_dataset": request.anti_dataset}
    for use, context in (("calibration", "calibration"), ("anti_dataset", "smoothing")):
        found = inputs.get(use)
        if found:
            run.dataset(
                name=found["file"],
                digest=(found["digest"] or found["file"]).removeprefix("sha256:"),
                source=str(given[use] or found["file"]),
                context=context,
            )
    suffix = ".py" if prepared.request.options.script else ".yaml"
    # In a folder of its own: a recipe may be called `practice`, as a file of the job is.
    recipe = work / "recipe" / f"{prepared.recipe.name}{suffix}"
    recipe.parent.mkdir()
    recipe.write_text(prepared.recipe.text, encoding="utf-8")
    run.artifact(recipe, "recipe")
    for job in (*work.glob("job.json"), *work.glob("practice.yaml")):
        run.artifact(job, "recipe")


def track_result(
    run: TrackedRun,
    prepared: Prepared,
    manifest: Manifest,
    folder: Path,
) -> None:
    run.tags(
        {
            "qreg.digest": manifest.digest,
            "qreg.scheme": manifest.quantization["scheme"],
            "qreg.method": manifest.quantization["method"],
            "qreg.output": prepared.output,
        }
    )
    run.artifact(folder / MANIFEST_FILE)
