"""Telling MLflow of a publication."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from registry.artifact import Manifest
from registry.config import Settings
from registry.progress import Note, Observer, ignore
from registry.tracking.card import write_card
from registry.tracking.journal import FINISHED, PUBLICATION, Journal
from registry.tracking.sender import Sender

DEFAULT_ALIAS = "current"


def announce(
    manifest: Manifest,
    reference: str,
    settings: Settings,
    *,
    references: Iterable[str] = (),
    alias: str = DEFAULT_ALIAS,
    wait: bool = True,
    observe: Observer = ignore,
) -> None:
    """Record a publication as a LoggedModel and a registered version with an alias.

    Args:
        manifest: of what was published.
        reference: finds the published revision again, with its digest.
        settings: which MLflow.
        references: all places where it was published.
        alias: set to the new version; MLflow reserves `latest` and `v<N>`.
        wait: send it before returning; else it is on disk, and `synchronise` sends it.
        observe: is told when MLflow is away; the publication is sent later then.
    """
    journal = Journal.create(settings, {"kind": PUBLICATION, "run_name": manifest.name})
    bundle = journal.folder / "files" / "bundle"
    bundle.mkdir()
    (bundle / "manifest.json").write_text(json.dumps(manifest.to_json(), indent=2))
    card = write_card(manifest, reference)
    (bundle / "card.md").write_text(card)
    source = manifest.provenance.get("base", {})
    quantization = manifest.quantization
    facets = {
        "qreg.name": manifest.name,
        "qreg.reference": reference,
        "qreg.references": " ".join(references) or reference,
        "qreg.digest": str(manifest.digest),
        "qreg.method": str(quantization.get("method", "none")),
        "qreg.scheme": str(quantization.get("scheme", "FLOAT")),
        "qreg.base": str(source.get("name", "")),
        "qreg.tool": str(manifest.provenance.get("tool", {}).get("name", "")),
    }
    journal.append(
        "version",
        name=manifest.name,
        reference=reference,
        alias=alias,
        bundle="bundle",
        description=card,
        run_id=manifest.provenance.get("mlflow_run"),
        activity=manifest.provenance.get("activity"),
        experiment=experiment_name(str(source.get("name") or manifest.name)),
        tags=facets,
        params={
            "scheme": facets["qreg.scheme"],
            "method": facets["qreg.method"],
            "digest": str(manifest.digest),
            "weights_bytes": str(manifest.footprint.get("weights", 0)),
        },
    )
    journal.append("end", status=FINISHED)
    if not wait:
        journal.note_attempt()
        journal.release()
        return
    sender = Sender(settings)
    sent = sender.send(journal)
    for refusal in sender.refused:
        observe(Note(refusal, warning=True))
    if sent:
        journal.discard()
        return
    journal.release()
    observe(
        Note(
            f"Published, but MLflow does not answer ({sender.trouble}); its model version follows "
            "with the next command or `qreg sync`.",
            warning=True,
        )
    )


def experiment_name(base: str) -> str:
    """The experiment that collects the quantizations of one base model: `quant/<Base>`."""
    return f"quant/{Path(base).name}"
