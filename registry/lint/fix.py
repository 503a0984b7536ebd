"""Mending what is safe to mend, in a new folder; the artifact itself stays as it is.

Safe is what changes no weight and no meaning: settings of another format left in config.json,
modes, links out of the folder, and files that the base model has and the artifact lost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from registry.artifact import FileEntry, payload_digest
from registry.checkpoint import open_checkpoint
from registry.checkpoint.architecture import read_architecture
from registry.checkpoint.facts import read_facts
from registry.checkpoint.reading import CONFIG, read_checkpoint
from registry.config import Settings
from registry.describe import compose, read_manifest
from registry.errors import IncompatibleError, UsageError
from registry.files import copy_file, require_room
from registry.folder import list_files
from registry.lint.checks.config import TOKENIZERS
from registry.lint.run import lint_facts
from registry.payload import MANIFEST_FILE
from registry.progress import Observer, Progress, ignore
from registry.resolve import Resolved, resolve
from registry.source import Source
from registry.staging import require_fresh, staged_folder

_MAX_SIDE_FILE = 64 * 2**20  # bytes; no tokenizer is larger
_TOKENIZER_FILES = (
    *TOKENIZERS, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "merges.txt", "tokenization_*.py", "*.tiktoken",
)  # fmt: skip
# Which files of the base mend which finding.
_FROM_BASE: Mapping[str, tuple[str, ...]] = {
    "tokenizer-missing": _TOKENIZER_FILES,
    "chat-template-missing": ("chat_template.jinja", "chat_template.json"),
    "generation-config-missing": ("generation_config.json",),
    "remote-code-missing": ("*.py",),
}


@dataclass(frozen=True)
class Repair:
    """A mended copy.

    Attributes:
        resolved: the new folder.
        mended: what was done, a line each.
    """

    resolved: Resolved
    mended: tuple[str, ...]


def mend(
    resolved: Resolved,
    output: Path,
    settings: Settings,
    *,
    base: str | None = None,
    observe: Observer = ignore,
) -> Repair:
    """Copy an artifact into a new folder, mended, with its derivation in qreg.json.

    Args:
        resolved: the artifact, on this machine.
        output: a new or empty folder.
        settings: for looking up `base`.
        base: a reference to the model that it was made from, for files that it lacks.
        observe: is told the bytes copied.

    Raises:
        UsageError: there is nothing to mend, or `output` is not fresh.
        IncompatibleError: the artifact is not on this machine.
        NotFoundError, IntegrityError: it is no whole checkpoint, which cannot be mended.
        TransferError: too little disk.
    """
    folder = resolved.folder
    if folder is None:
        raise IncompatibleError(
            f"{resolved.reference} is not on this machine", remedy="Bring it here to mend it."
        )
    require_fresh(output)
    facts = read_facts(open_checkpoint(resolved.source))
    found = {finding.id for finding in lint_facts(facts, resolved.source)}
    donor = resolve(base, settings) if base else None
    additions = _additions(donor.source, folder, found) if donor else {}
    edits = _edits(folder, found)
    mended = _account(found, edits, additions)
    if not mended:
        lacking = sorted(found & _FROM_BASE.keys())
        raise UsageError(
            f"There is nothing in {resolved.reference} that --fix can mend",
            remedy=f"Give --base, the model that it was made from, for: {', '.join(lacking)}."
            if lacking and not base
            else "`qreg lint` says what to do about the rest.",
        )
    files = list_files(folder, follow_outside=True)
    require_room(output, sum(files.values()), "A mended copy")
    with staged_folder(output) as staging:
        before, after = _copy(folder, staging, files, edits, observe)
        for path, content in additions.items():
            _write(staging / path, content)
            after.append(FileEntry(path, len(content), hashlib.sha256(content).hexdigest()))
        known = read_manifest(folder)
        source_digest = payload_digest(before)
        same = known is not None and known.digest == source_digest
        derivation = {
            "name": known.name if known else folder.resolve().name,
            "digest": str(source_digest),
            "by": "qreg lint --fix",
            "mended": list(mended),
            **({"completed_from": donor.reference} if donor and additions else {}),
        }
        manifest = compose(
            open_checkpoint(staging),
            tuple(sorted(after)),
            name=known.name if known else output.absolute().name,
            provenance={
                **(known.provenance if known and same else {}),
                "derived_from": derivation,
            },
        )
        if known is not None:  # fields of a newer qreg are kept
            manifest = replace(manifest, extra=known.extra)
        _write(staging / MANIFEST_FILE, manifest.to_bytes())
    return Repair(Resolved.of_folder(output), mended)


def _edits(folder: Path, found: set[str]) -> dict[str, bytes]:
    """New contents of files that change."""
    if "quantization-config-left" not in found:
        return {}
    config = json.loads((folder / CONFIG).read_bytes())
    for section in (config, config.get("text_config")):
        if isinstance(section, dict):
            section.pop("quantization_config", None)
            section.pop("compression_config", None)
    return {CONFIG: (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode()}


def _additions(base: Source, folder: Path, found: set[str]) -> dict[str, bytes]:
    """Files of the base that the artifact lacks and a finding asks for."""
    require_relation(base, folder)
    present = list_files(folder, follow_outside=True)
    wanted = [pattern for check in found & _FROM_BASE.keys() for pattern in _FROM_BASE[check]]
    available = read_checkpoint(base).files
    return {
        path: base.read(path, 0, size)
        for path, size in sorted(available.items())
        if path not in present
        and size <= _MAX_SIDE_FILE
        and any(Path(path).match(pattern) for pattern in wanted)
        and "/" not in path
    }


def require_relation(base: Source, artifact: Path | Source) -> None:
    """Raise IncompatibleError if an artifact cannot have been made from a base.

    A tokenizer of another model loads without a word and answers in riddles.

    Args:
        base: the model that it is said to be made from.
        artifact: the quantized one.
    """
    theirs = read_architecture(read_checkpoint(base).config)
    ours = read_architecture(read_checkpoint(artifact).config)
    for what, a, b in (
        ("model type", theirs.model_type, ours.model_type),
        ("vocabulary", theirs.vocab_size, ours.vocab_size),
    ):
        if a != b:
            raise IncompatibleError(
                f"{base.label} has the {what} {a}, the artifact {b}: it was not made from that",
                remedy="Name the model that was quantized as --base.",
            )


def _account(
    found: set[str], edits: Mapping[str, bytes], additions: Mapping[str, bytes]
) -> tuple[str, ...]:
    lines = [f"removed quantization_config from {path}" for path in edits]
    lines += [f"added {path} from the base model" for path in additions]
    if "file-mode" in found:
        lines.append("made all files readable, and data files not executable")
    if "symlink" in found:
        lines.append("replaced links by their files")
    return tuple(lines)


def _copy(
    source: Path,
    target: Path,
    files: Mapping[str, int],
    edits: Mapping[str, bytes],
    observe: Observer,
) -> tuple[list[FileEntry], list[FileEntry]]:
    """Copy all files but the manifest; return what they were and what they are now."""
    before, after, done, total = [], [], 0, sum(files.values())
    for path, size in files.items():
        if path == MANIFEST_FILE:
            continue
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        begun = done

        def tell(copied: int, path: str = path, begun: int = begun) -> None:
            observe(Progress("copying", begun + copied, total, "bytes", path))

        sha256 = copy_file(source / path, target / path, tell)
        done += size
        before.append(FileEntry(path, size, sha256))
        if path in edits:
            _write(target / path, edits[path])
            sha256, size = hashlib.sha256(edits[path]).hexdigest(), len(edits[path])
        after.append(FileEntry(path, size, sha256))
    return before, after


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o644)
