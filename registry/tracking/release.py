"""Telling MLflow of a publication."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from registry.artifact import Manifest
from registry.claims import plain, section
from registry.config import Settings
from registry.names import one_line
from registry.progress import Note, Observer, ignore
from registry.tracking.card import write_card
from registry.tracking.journal import FINISHED, PUBLICATION, Journal
from registry.tracking.sender import Sender
from registry.urls import without_credentials

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
    try:
        _announce(
            manifest, reference, settings,
            references=references, alias=alias, wait=wait, observe=observe,
        )  # fmt: skip
    except Exception as error:  # noqa: BLE001 - what is published is published
        observe(
            Note(
                f"Published, but MLflow could not be told: {type(error).__name__}: {error}. "
                "Publishing again tells it.",
                warning=True,
            )
        )


def _announce(
    manifest: Manifest,
    reference: str,
    settings: Settings,
    *,
    references: Iterable[str],
    alias: str,
    wait: bool,
    observe: Observer,
) -> None:
    journal = Journal.create(settings, {"kind": PUBLICATION, "run_name": manifest.name})
    try:
        _write(journal, manifest, reference, references, alias)
        if wait:
            _send(journal, settings, observe)
        else:
            journal.note_attempt()
    finally:
        journal.release()


def _write(
    journal: Journal, manifest: Manifest, reference: str, references: Iterable[str], alias: str
) -> None:
    """Put a publication into its journal."""
    bundle = journal.folder / "files" / "bundle"
    bundle.mkdir()
    (bundle / "manifest.json").write_text(json.dumps(manifest.to_json(), indent=2))
    card = write_card(manifest, reference)
    (bundle / "card.md").write_bytes(card.encode(errors="replace"))
    base = plain(section(manifest.provenance, "base").get("name"))
    quantization = manifest.quantization
    facets = {
        "qreg.name": manifest.name,
        "qreg.reference": without_credentials(reference),
        "qreg.references": without_credentials(" ".join(references) or reference),
        "qreg.digest": str(manifest.digest),
        "qreg.method": plain(quantization.get("method", "none")),
        "qreg.scheme": plain(quantization.get("scheme", "FLOAT")),
        # What qreg.json claims; the card says so.
        "qreg.base": base,
        "qreg.tool": plain(section(manifest.provenance, "tool").get("name")),
    }
    journal.append(
        "version",
        name=manifest.name,
        reference=reference,
        alias=alias,
        bundle="bundle",
        description=card,
        run_id=_text(manifest.provenance.get("mlflow_run")),
        activity=_text(manifest.provenance.get("activity")),
        experiment=experiment_name(base or manifest.name),
        tags=facets,
        params={
            "scheme": facets["qreg.scheme"],
            "method": facets["qreg.method"],
            "digest": str(manifest.digest),
            "weights_bytes": str(manifest.footprint.get("weights", 0)),
        },
    )
    journal.append("end", status=FINISHED)


def _send(journal: Journal, settings: Settings, observe: Observer) -> None:
    sender = Sender(settings)
    sent = sender.send(journal)
    for refusal in sender.refused:
        observe(Note(refusal, warning=True))
    if sent:
        journal.discard()
        return
    observe(
        Note(
            f"Published, but MLflow does not answer ({sender.trouble}); its model version follows "
            "with the next command or `qreg sync`.",
            warning=True,
        )
    )


def experiment_name(base: str) -> str:
    """The experiment that collects the quantizations of one base model: `quant/<Base>`."""
    return f"quant/{one_line(Path(base).name)}"


def _text(value: Any) -> str | None:
    """An identifier of MLflow or of an activity, as qreg writes them; None for anything else."""
    return (
        value if isinstance(value, str) and re.fullmatch("[A-Za-z0-9._-]{1,250}", value) else None
    )
