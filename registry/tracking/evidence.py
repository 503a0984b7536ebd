"""Telling MLflow what launches of an artifact showed.

It goes to the runs and model versions that bear the artifact's digest as a tag, which qreg itself
wrote there. What a manifest says of its run is a claim of whoever published it, so that it does not
count here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.config import Settings
from registry.tracking.journal import EVIDENCE, FINISHED, Journal

if TYPE_CHECKING:
    from mlflow import MlflowClient

_MOST_TAG = 5000  # characters of a tag of a model version
_MOST_FOUND = 50


def track_evidence(settings: Settings, entry: Mapping[str, Any]) -> None:
    """Write evidence down for MLflow; the next command, or `synchronise`, sends it.

    Nothing is written where MLflow is the embedded one and has not been used yet: it knows no run
    and no model version.

    Args:
        settings: which MLflow.
        entry: with `kind`, `time`, `digest`, `verdict` and figures, JSON all through.

    Raises:
        OSError: the data folder cannot be written to.
    """
    if settings.embedded_tracking and not (settings.mlflow / "mlflow.db").is_file():
        return
    journal = Journal.create(
        settings, {"kind": EVIDENCE, "run_name": str(entry.get("artifact", ""))}
    )
    try:
        name = f"{entry['kind']}-{entry.get('launch') or journal.header['id']}.json"
        text = json.dumps(dict(entry), indent=2, ensure_ascii=False)
        (journal.folder / "files" / name).write_text(text, errors="replace")
        journal.append("evidence", entry=dict(entry), file=name)
        journal.append("end", status=FINISHED)
        journal.note_attempt()
    finally:
        journal.release()


def send_evidence(
    client: MlflowClient, journal: Journal, state: dict[str, Any], op: dict[str, Any]
) -> None:
    """Give evidence to all runs and model versions of its digest; repeating is harmless."""
    entry: dict[str, Any] = op["entry"]
    digest, path = str(entry["digest"]), journal.folder / "files" / op["file"]
    versions = client.search_model_versions(f"tags.`qreg.digest` = '{digest}'")[:_MOST_FOUND]
    # The version's run may be gone, or of another tracking server: runs are found by their tag.
    for run in _runs_of(client, digest):
        _tell_run(client, run, entry, path, op["time"])
    for version in versions:
        for key, value in tags_of(entry).items():
            client.set_model_version_tag(version.name, version.version, key, value[:_MOST_TAG])


def tags_of(entry: Mapping[str, Any]) -> dict[str, str]:
    """What lists and searches of MLflow show of evidence.

    Returns:
        For a launch `qreg.launch`, for a smoke request `qreg.proven` or `qreg.failed`: where, with
        what, when, and with which plan; a failure's cause besides.
    """
    key = "qreg.launch"
    if entry.get("verdict") == "failed":
        key = "qreg.failed"
    elif entry.get("kind") == "smoke":
        key = "qreg.proven"
    where = f"{entry.get('engine', '')} {entry.get('release', '')}".strip()
    plan = str(entry.get("digest_of_plan", "")).removeprefix("sha256:")[:12]
    told = f"on {entry.get('hardware', '')} with {where} at {entry.get('time', '')}, plan {plan}"
    cause = f": {entry['cause']}" if entry.get("cause") else ""
    return {key: f"{told}{cause}"}


def metrics_of(entry: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a launch, planned beside measured, in bytes, tokens and seconds."""
    found: dict[str, float] = {}
    for part in ("planned", "measured"):
        for key, value in _figures(entry.get(part)):
            found[f"launch/{part}/{key}"] = value
    for key, value in _figures(entry.get("stages")):
        found[f"launch/stage/{key.replace(' ', '_')}"] = value
    for key, value in _figures({"seconds_to_ready": entry.get("seconds_to_ready")}):
        found[f"launch/{key}"] = value
    return found


def _figures(values: Any) -> Iterator[tuple[str, float]]:
    for key, value in values.items() if isinstance(values, Mapping) else ():
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield str(key).replace("'", ""), float(value)


def _runs_of(client: MlflowClient, digest: str) -> Iterator[str]:
    experiments = [e.experiment_id for e in client.search_experiments()]
    if experiments:
        wanted = f"tags.`qreg.digest` = '{digest}'"
        for run in client.search_runs(experiments, wanted, max_results=_MOST_FOUND):
            yield str(run.info.run_id)


def _tell_run(
    client: MlflowClient, run: str, entry: Mapping[str, Any], path: Path, at: int
) -> None:
    from mlflow.entities import Metric, RunTag

    tags = [RunTag(key, value[:_MOST_TAG]) for key, value in tags_of(entry).items()]
    metrics = [Metric(key, value, at, 0) for key, value in metrics_of(entry).items()]
    client.log_batch(run, metrics=metrics, tags=tags)
    client.log_artifact(run, str(path), "evidence")
