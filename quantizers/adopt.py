"""Taking in an artifact that was quantized elsewhere: read, measure, and mark what is claimed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantizers.calibration import digest_of
from quantizers.placeholders import published_reference
from quantizers.quality.adopted import Weighed, weigh
from quantizers.record import evidence_of
from quantizers.relation import check_base, require_foreign
from quantizers.soundness import unsound_tensors
from quantizers.unchanged import FloatTensors, compare_float_tensors
from registry.artifact import Manifest, payload_digest
from registry.checkpoint import Checkpoint, open_checkpoint
from registry.checkpoint.facts import Facts, read_facts
from registry.checkpoint.quantization.layers import FLOAT
from registry.clock import utc_now
from registry.config import Settings
from registry.errors import CheckFailed, UsageError
from registry.evidence import record_evidence
from registry.finding import ERROR
from registry.folder import hash_files, list_files, sha256_file
from registry.lint import lint_facts
from registry.names import check_name, check_new_tags
from registry.progress import Note, Observer, ignore
from registry.resolve import Resolved, resolve
from registry.source import LocalSource
from registry.tracking.release import experiment_name
from registry.tracking.run import TrackedRun, tracked_run
from registry.transfer.publishing import publish

_SHOWN = 20
_MOST_TEXT = 2**16  # characters of a practice or recipe that are kept in the manifest
_PRACTICE = re.compile(r".*best_practice.*\.ya?ml\Z")


@dataclass(frozen=True)
class Claims:
    """What a user says of how an artifact was made; none of it can be checked.

    Attributes:
        tool, version: what made it.
        recipe: the file that it followed.
        calibration: the set that it used.
        log: of the tool.
        note: anything else.
    """

    tool: str = ""
    version: str = ""
    recipe: Path | None = None
    calibration: Path | None = None
    log: Path | None = None
    note: str = ""


@dataclass(frozen=True)
class Adoption:
    """What came of it.

    Attributes:
        manifest: as it is in the registry.
        reference: finds the revision.
        run_id: of MLflow; None while it is away.
    """

    manifest: Manifest
    reference: str
    run_id: str | None


def adopt(
    folder: Path,
    base: str,
    name: str,
    settings: Settings,
    claims: Claims | None = None,
    *,
    tags: tuple[str, ...] = (),
    observe: Observer = ignore,
) -> Adoption:
    """Publish a folder that was quantized elsewhere; it is only read.

    Args:
        folder: the artifact.
        base: the float model, a folder or a reference; only its metadata are needed, its bytes
            where they are on this machine.
        name: ORG/NAME.
        settings: where the registry is.
        claims: what the user says of it.
        tags: for the revision.
        observe: is told how it goes.

    Raises:
        NotFoundError, IntegrityError: the folder, or the base, is no whole checkpoint.
        IncompatibleError: it is not quantized, cannot be made from that base, or qreg made it and
            knows how.
        CheckFailed: lint finds errors, or its numbers are none.
    """
    check_name(name)
    require_foreign(folder)
    check_new_tags(tags)
    claims = claims or Claims()
    facts = read_facts(open_checkpoint(folder))
    resolved = resolve(base, settings, observe=observe)
    source = read_facts(open_checkpoint(resolved.source))
    check_base(facts, source)
    base_name = resolved.snapshot.manifest.name if resolved.snapshot else _folder_name(resolved)
    with tracked_run(
        settings,
        experiment=experiment_name(base_name),
        run_name=f"{name.rpartition('/')[2]} adopted",
        tags={"qreg.name": name, "qreg.base": base_name, "qreg.activity_kind": "adopt"},
        observe=observe,
    ) as run:
        _require_sound(facts, folder, observe)
        floats = compare_float_tensors(source.checkpoint, facts.checkpoint, observe)
        made = {"recipe": _recipe(facts.checkpoint, claims)}
        weighed = weigh(run, folder, resolved, name=name, provenance=made, observe=observe)
        provenance = _provenance(facts, resolved, base_name, floats, weighed, claims, observe)
        provenance |= made
        provenance |= {"mlflow_run": run.run_id, "activity": run.identity}
        published = publish(
            folder, settings, name=name, tags=tags, provenance=provenance, observe=observe
        )
        _track(run, published.manifest, provenance, resolved, published.reference, claims)
    for entry in evidence_of(published.manifest, base_name, weighed.figures):
        record_evidence(settings, published.manifest.digest, entry)
    return Adoption(published.manifest, published.reference, provenance["mlflow_run"])


def _require_sound(facts: Facts, folder: Path, observe: Observer) -> None:
    findings = lint_facts(facts, LocalSource(folder))
    errors = [finding for finding in findings if finding.severity == ERROR]
    if errors:
        raise CheckFailed(
            f"{folder} has {len(errors)} errors",
            remedy="See `qreg lint`, and `qreg lint --fix` for what can be mended.",
            details="\n".join(f"{f.id}: {f.message} ({f.where})" for f in errors[:_SHOWN]),
        )
    unsound = unsound_tensors(facts.checkpoint, observe)
    if unsound:
        raise CheckFailed(
            f"{len(unsound)} tensors of {folder} hold no sound numbers",
            remedy="It was made wrong or damaged; copy or quantize it again.",
            details="\n".join(unsound[:_SHOWN]),
        )


def _provenance(
    facts: Facts,
    resolved: Resolved,
    base_name: str,
    floats: FloatTensors,
    weighed: Weighed,
    claims: Claims,
    observe: Observer,
) -> dict[str, Any]:
    """What is read, what is measured, and which fields nobody but the user vouches for."""
    claimed: list[str] = []
    tool = _tool(facts, claims, claimed)
    base: dict[str, Any] = {"name": base_name}
    base |= {"reference": published_reference(resolved.reference)}
    base |= {"digest": _base_digest(resolved, observe)}
    # Weights that nobody would come to by chance say which model it was.
    if not floats.proves and not weighed.proves:
        claimed.append("base")
        observe(Note(_doubt(facts, base_name, weighed), warning=True))
    if claims.recipe is not None:
        claimed.append("recipe")
    quantized = [x for x in facts.quantization.layers if x.scheme != FLOAT]
    found: dict[str, Any] = {
        "adopted": utc_now(),
        "base": base,
        "tool": tool,
        "measured": {
            "layers": len(facts.quantization.layers),
            "quantized_layers": len(quantized),
            "float_layers": len(facts.quantization.layers) - len(quantized),
            "float_tensors": floats.shared,
            "unchanged_tensors": floats.unchanged,
            "changed_tensors": list(floats.changed[:_SHOWN]),
        },
        "quality": dict(weighed.figures),
    }
    for key, path in (("calibration", claims.calibration), ("log", claims.log)):
        if path is not None:
            found[key] = {"file": path.name, "digest": digest_of(path)}
            claimed.append(key)
    if claims.note:
        found["note"] = claims.note
        claimed.append("note")
    return {**found, "claimed": claimed}


def _doubt(facts: Facts, base: str, weighed: Weighed) -> str:
    """Why the base is only claimed."""
    label = facts.checkpoint.label
    text = f"No matrix that is float in {label} is that of {base}"
    if weighed.strange:
        text += f", and the weights of {weighed.strange} of {weighed.layers} quantized layers are "
        text += "no rounding of its: most likely another model, unless they were rotated or trained"
    else:
        text += ": rotated or smoothed throughout, or another model"
    return f"{text}. The base is recorded as claimed"


def _tool(facts: Facts, claims: Claims, claimed: list[str]) -> dict[str, str]:
    """What the files say of the tool; a claim that contradicts them is refused."""
    method = facts.quantization.method
    read = {"modelslim": "modelslim", "compressed-tensors": "llmcompressor"}.get(method, "")
    practice = any(_PRACTICE.match(path) for path in facts.checkpoint.files)
    # ModelSlim writes compressed-tensors, too; the practice beside the weights tells.
    read = "modelslim" if practice else read
    sure = practice or method == "modelslim" or "recipe.yaml" in facts.checkpoint.files
    if claims.tool and sure and claims.tool != read:
        raise UsageError(
            f"{facts.checkpoint.label} was made by {read}, its files say, not by {claims.tool}",
            remedy="Leave out --tool.",
        )
    if claims.tool and not sure:
        claimed.append("tool.name")
    if claims.version:
        claimed.append("tool.version")
    return {
        "name": (read if sure else "") or claims.tool or "unknown",
        "version": claims.version,
    }


def _recipe(checkpoint: Checkpoint, claims: Claims) -> dict[str, Any]:
    """The practice or recipe that lies beside the weights, else the one that the user names."""
    assert checkpoint.folder is not None
    beside = [p for p in checkpoint.files if _PRACTICE.match(p) or p == "recipe.yaml"]
    if beside and claims.recipe is None:
        path = checkpoint.folder / sorted(beside)[0]
    elif claims.recipe is not None:
        path = claims.recipe
    else:
        return {"name": "unknown"}
    text = path.read_text(encoding="utf-8", errors="replace")
    return {
        "name": path.stem,
        "digest": f"sha256:{sha256_file(path)}",
        "text": text[:_MOST_TEXT],
    }


def _base_digest(resolved: Resolved, observe: Observer) -> str | None:
    """The base's digest: the store's, or hashed where it lies in a folder."""
    if resolved.snapshot is not None:
        return str(resolved.snapshot.manifest.digest)
    assert resolved.folder is not None
    paths = list_files(resolved.folder, follow_outside=True)
    return str(
        payload_digest(hash_files(resolved.folder, paths, observe, stage="hashing the base"))
    )


def _folder_name(resolved: Resolved) -> str:
    assert resolved.folder is not None
    return resolved.folder.resolve().name


def _track(
    run: TrackedRun,
    manifest: Manifest,
    provenance: Mapping[str, Any],
    base: Resolved,
    reference: str,
    claims: Claims,
) -> None:
    measured = provenance["measured"]
    run.params(
        {
            "source": base.reference,
            "source_digest": provenance["base"]["digest"],
            "tool": provenance["tool"]["name"],
            "tool_version": provenance["tool"]["version"] or None,
            "recipe": provenance["recipe"]["name"],
            "recipe_digest": provenance["recipe"].get("digest"),
            "claimed": ", ".join(provenance["claimed"]) or "nothing",
        }
    )
    run.metrics({f"adopt/{k}": v for k, v in measured.items() if isinstance(v, int)})
    run.tags(
        {
            "qreg.digest": manifest.digest,
            "qreg.scheme": manifest.quantization["scheme"],
            "qreg.method": manifest.quantization["method"],
            "qreg.reference": reference,
        }
    )
    for path, folder in ((claims.log, "logs"), (claims.recipe, "recipe")):
        if path is not None:
            run.artifact(path, folder)
