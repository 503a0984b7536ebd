"""Converting an artifact: its tensors copied bit for bit, shard by shard, in bounded memory."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from quantizers.convert.compressed_tensors_to_modelslim import plan as plan_modelslim
from quantizers.convert.modelslim_to_compressed_tensors import plan as plan_compressed_tensors
from quantizers.convert.plan import Conversion
from quantizers.soundness import unsound_tensors
from registry.artifact import FileEntry, Manifest, payload_digest
from registry.checkpoint import Checkpoint, open_checkpoint
from registry.checkpoint.data import data_offsets
from registry.checkpoint.facts import Facts, read_facts
from registry.checkpoint.quantization.modelslim import STANDARD_NAME
from registry.checkpoint.reading import CONFIG
from registry.checkpoint.safetensors import DTYPE_BITS
from registry.checkpoint.writing import Planned, write_shard
from registry.config import Settings
from registry.describe import compose, read_manifest
from registry.errors import IncompatibleError, IntegrityError
from registry.files import copy_file, require_room
from registry.finding import ERROR
from registry.folder import hash_files, list_files
from registry.lint.run import lint_facts
from registry.names import check_name
from registry.payload import MANIFEST_FILE, is_payload
from registry.progress import Observer, Progress, ignore
from registry.resolve import Resolved
from registry.source import LocalSource
from registry.staging import staged_folder

# By what the user calls them.
FORMATS: Mapping[str, Callable[[Facts], Conversion]] = MappingProxyType(
    {"compressed-tensors": plan_compressed_tensors, "modelslim": plan_modelslim}
)
_CHUNK = 8 * 2**20
_SHOWN = 20  # lines of details


@dataclass(frozen=True)
class Converted:
    """A converted copy.

    Attributes:
        folder: where it lies.
        manifest: as written to its `qreg.json`.
    """

    folder: Path
    manifest: Manifest


def convert(
    resolved: Resolved,
    target: str,
    name: str,
    settings: Settings,
    *,
    output: Path | None = None,
    observe: Observer = ignore,
) -> Converted:
    """Write an artifact in another quantizer's format, with its derivation in qreg.json.

    Args:
        resolved: the artifact, on this machine.
        target: a key of FORMATS.
        name: ORG/NAME of the result.
        settings: say where results go.
        output: a new or empty folder; default: one below the data folder.
        observe: is told the bytes written.

    Raises:
        IncompatibleError: it is not on this machine, or has no exact counterpart in that format.
        UsageError: the name is malformed, or `output` is not fresh.
        NotFoundError, IntegrityError: it is no whole checkpoint, or a scale is no positive number.
        TransferError: too little disk.
    """
    check_name(name)
    folder = resolved.folder
    if folder is None:
        raise IncompatibleError(
            f"{resolved.reference} is not on this machine",
            remedy=f"Bring it here first: qreg pull {resolved.reference}",
        )
    facts = read_facts(open_checkpoint(resolved.source))
    plan = FORMATS[target](facts)
    _require_zeros(facts.checkpoint, plan)
    _require_scales(facts.checkpoint, observe)
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    output = (output or settings.outputs / name / stamp).absolute().resolve()
    require_room(output, facts.checkpoint.weight_bytes, "A converted copy")
    with staged_folder(output) as staging:
        before = _write(facts.checkpoint, folder, plan, staging, observe)
        after = hash_files(staging, list_files(staging), observe, stage="hashing the result")
        result = open_checkpoint(staging)
        _require_sound(result, staging)
        manifest = compose(
            result, after, name=name, provenance=_provenance(folder, before, facts, target)
        )
        (staging / MANIFEST_FILE).write_bytes(manifest.to_bytes())
    return Converted(output, manifest)


def _write(
    checkpoint: Checkpoint, folder: Path, plan: Conversion, staging: Path, observe: Observer
) -> list[FileEntry]:
    """Write the new folder; return what the files of the source are."""
    names = plan.shard_names(checkpoint.shards)
    offsets = data_offsets(checkpoint)
    where: dict[str, str] = {}
    total, done, size = checkpoint.weight_bytes, 0, 0
    before: list[FileEntry] = []
    for shard in checkpoint.shards:
        # Hashed first: the second reading comes from memory.
        before += hash_files(folder, [shard])
        tensors = _tensors_of(shard, checkpoint, plan)

        def told(pieces: Iterator[bytes], shard: str = shard) -> Iterator[bytes]:
            nonlocal done
            for piece in pieces:
                done += len(piece)
                observe(Progress("converting", min(done, total), total, "bytes", shard))
                yield piece

        write_shard(
            staging / names[shard],
            tensors,
            told(_pieces(folder / shard, tensors, offsets, plan)),
        )
        where.update(dict.fromkeys((tensor.name for tensor in tensors), names[shard]))
        size += sum(tensor.size for tensor in tensors)
        (staging / names[shard]).chmod(0o644)
    if len(names) > 1 or not plan.single:
        _write_json(
            staging / plan.index_name, {"metadata": {"total_size": size}, "weight_map": where}
        )
    _write_json(staging / CONFIG, plan.config)
    if plan.description is not None:
        _write_json(staging / STANDARD_NAME, plan.description)
    for path in list_files(folder, follow_outside=True):
        if path in checkpoint.shards or not is_payload(path):
            continue
        before += hash_files(folder, [path])
        if path != CONFIG and path not in plan.stale:
            (staging / path).parent.mkdir(parents=True, exist_ok=True)
            copy_file(folder / path, staging / path)
    return before


def _tensors_of(shard: str, checkpoint: Checkpoint, plan: Conversion) -> list[Planned]:
    """What a new shard holds: wide elements first, so that all of them are aligned."""
    kept = [
        Planned(tensor.name, tensor.dtype, tensor.shape)
        for tensor in checkpoint.tensors.values()
        if tensor.shard == shard and tensor.name not in plan.drop
    ]
    added = [
        Planned(name, like.dtype, like.shape)
        for name, like in plan.add.items()
        if like.shard == shard
    ]
    return sorted(kept + added, key=lambda tensor: -DTYPE_BITS[tensor.dtype])


def _pieces(
    path: Path, tensors: list[Planned], offsets: Mapping[str, int], plan: Conversion
) -> Iterator[bytes]:
    """The bytes of a new shard: copied from the old one, or zeros."""
    with path.open("rb") as file:
        for tensor in tensors:
            left = tensor.size
            if tensor.name in plan.add:
                yield bytes(left)
                continue
            file.seek(offsets[tensor.name])
            while left:
                piece = file.read(min(left, _CHUNK))
                if not piece:
                    raise IntegrityError(f"{path} ends inside of {tensor.name}")
                left -= len(piece)
                yield piece


def _require_zeros(checkpoint: Checkpoint, plan: Conversion) -> None:
    """Offsets may only go where they say nothing."""
    assert checkpoint.folder is not None
    offsets = data_offsets(checkpoint)
    source = LocalSource(checkpoint.folder)
    for name in sorted(plan.drop):
        tensor = checkpoint.tensors[name]
        content = source.read(tensor.shard, offsets[name], tensor.size)
        if content.count(0) != len(content):
            raise IncompatibleError(
                f"{name} is not zero: the weights are asymmetric, and compressed-tensors' INT8 "
                "with channels is symmetric",
                remedy="Quantize the base model with symmetric weights.",
            )


def _require_scales(checkpoint: Checkpoint, observe: Observer) -> None:
    """A copy of what computes nothing is not handed on, as no quantization that makes it is."""
    unsound = unsound_tensors(checkpoint, observe, scales_only=True)
    if unsound:
        raise IntegrityError(
            f"{len(unsound)} scale(s) of {checkpoint.label} are no use: {unsound[0]}",
            remedy="Compare the files with their origin (qreg verify), or quantize the base model "
            "again.",
            details="\n".join(unsound[:_SHOWN]),
        )


def _require_sound(result: Checkpoint, folder: Path) -> None:
    """Nothing is handed over that lint finds broken."""
    findings = lint_facts(read_facts(result), LocalSource(folder))
    errors = [finding for finding in findings if finding.severity == ERROR]
    if errors:
        raise IncompatibleError(
            f"The converted artifact would be faulty: {errors[0].message}",
            remedy="If `qreg lint` finds the same in the source, mend that first.",
            details="\n".join(f"{finding.message} [{finding.id}]" for finding in errors),
        )


def _provenance(folder: Path, before: list[FileEntry], facts: Facts, target: str) -> dict[str, Any]:
    known = read_manifest(folder)
    digest = payload_digest(before)
    same = known is not None and known.digest == digest
    optional = (facts.checkpoint.description or {}).get("optional")
    return {
        **(known.provenance if known and same else {}),
        "derived_from": {
            "name": known.name if known else folder.resolve().name,
            "digest": str(digest),
            "by": "qreg convert",
            "from": facts.quantization.method,
            "to": target,
            # The rotations are in the weights; only a draft model would need the map of them.
            **({"left_out": sorted(optional)} if isinstance(optional, dict) and optional else {}),
        },
    }


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_bytes((json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())
    path.chmod(0o644)
