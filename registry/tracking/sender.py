"""Sending a journal to MLflow, from where the last sending stopped."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from registry.config import Settings
from registry.tracking.client import connect, ensure_experiment
from registry.tracking.evidence import send_evidence
from registry.tracking.journal import RUN, Journal
from registry.tracking.models import register_version

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Beyond these MLflow cuts values in silence (3.17.2).
MAX_PARAM = 6000
MAX_TAG = 8000
MAX_METRICS = 1000  # a call; more are refused
_OUTAGES = ("connection refused", "timed out", "name or service not known", "connection aborted")
_REFUSED = frozenset({"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS"})


class Sender:
    """Applies journals to MLflow, one after the other, over one client."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: MlflowClient | None = None
        self.trouble = ""
        self.unreachable = False
        self.refused: list[str] = []

    def send(self, journal: Journal) -> bool:
        """Send what is new in a journal; what MLflow refuses for good is noted in `refused`.

        Returns:
            Whether MLflow has all of it; where not, `trouble` says why, and a later call goes on.
        """
        try:
            if self._client is None:
                self._client = connect(self._settings)
            self._apply(self._client, journal)
        except Exception as error:  # noqa: BLE001 - MLflow's stores raise what their drivers raise
            self.trouble = _in_short(error)
            self.unreachable = self._client is None or self.trouble in _OUTAGES
            return False
        self.trouble, self.unreachable = "", False
        return True

    def _apply(self, client: MlflowClient, journal: Journal) -> None:
        state = journal.sent()
        operations = journal.operations()
        if journal.header["kind"] == RUN and "run_id" not in state:
            state |= _open_run(client, journal.header, self._settings)
            journal.mark_sent(state)
        try:
            for operation in operations[state["offset"] :]:
                self._send_one(client, journal, state, operation)
                state["offset"] += 1
        finally:
            # Once, not after each: it waits for the disk. What a killed process had sent beyond it
            # is sent again, and leaves no trace.
            journal.mark_sent(state)

    def _send_one(
        self, client: MlflowClient, journal: Journal, state: dict[str, Any], op: dict[str, Any]
    ) -> None:
        try:
            if op["op"] == "version":
                register_version(client, journal.folder / "files", op, self._settings)
            else:
                _HANDLERS[op["op"]](client, journal, state, op)
        except Exception as error:
            # What MLflow refuses today it refuses tomorrow: go on without it.
            if getattr(error, "error_code", "") not in _REFUSED:
                raise
            self.refused.append(f"MLflow refused {op['op']}: {_in_short(error)}")


def _in_short(error: Exception) -> str:
    """One line for people; an address in a message may hold a password."""
    text = str(error)
    for sign in _OUTAGES:
        if sign in text.lower():
            return sign
    first = re.sub(r"//[^/@\s]+@", "//", text.partition("\n")[0])
    return f"{type(error).__name__}: {first[:160]}"


def _open_run(client: MlflowClient, header: dict[str, Any], settings: Settings) -> dict[str, str]:
    experiment_id = ensure_experiment(client, header["experiment"], settings)
    known = client.search_runs(
        [experiment_id], filter_string=f"tags.`qreg.activity` = '{header['id']}'", max_results=1
    )
    if known:
        return {"experiment_id": experiment_id, "run_id": known[0].info.run_id}
    run = client.create_run(
        experiment_id,
        start_time=header["started"],
        run_name=header["run_name"],
        tags={**header.get("tags", {}), "qreg.activity": header["id"]},
    )
    return {"experiment_id": experiment_id, "run_id": run.info.run_id}


def _params(client: MlflowClient, _: Journal, state: dict[str, Any], op: dict[str, Any]) -> None:
    from mlflow.entities import Param

    values = [Param(key, value[:MAX_PARAM]) for key, value in op["values"].items()]
    client.log_batch(state["run_id"], params=values)


def _tags(client: MlflowClient, _: Journal, state: dict[str, Any], op: dict[str, Any]) -> None:
    from mlflow.entities import RunTag

    values = [RunTag(key, value[:MAX_TAG]) for key, value in op["values"].items()]
    client.log_batch(state["run_id"], tags=values)


def _metrics(client: MlflowClient, _: Journal, state: dict[str, Any], op: dict[str, Any]) -> None:
    from mlflow.entities import Metric

    values = [
        Metric(key, value, op["time"], op.get("step", 0)) for key, value in op["values"].items()
    ]
    client.log_batch(state["run_id"], metrics=values)


def _curves(client: MlflowClient, _: Journal, state: dict[str, Any], op: dict[str, Any]) -> None:
    from mlflow.entities import Metric

    values = [
        Metric(key, value, op["time"], step)
        for key, points in op["values"].items()
        for step, value in points
    ]
    for start in range(0, len(values), MAX_METRICS):
        client.log_batch(state["run_id"], metrics=values[start : start + MAX_METRICS])


def _artifact(
    client: MlflowClient, journal: Journal, state: dict[str, Any], op: dict[str, Any]
) -> None:
    client.log_artifact(state["run_id"], str(journal.folder / "files" / op["file"]), op["folder"])


def _dataset(client: MlflowClient, _: Journal, state: dict[str, Any], op: dict[str, Any]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(op["name"], op["digest"], "local", op["source"])
    tags = [InputTag("mlflow.data.context", op["context"])]
    client.log_inputs(state["run_id"], datasets=[DatasetInput(dataset, tags)])


def _end(client: MlflowClient, journal: Journal, state: dict[str, Any], op: dict[str, Any]) -> None:
    if "run_id" in state:
        client.set_terminated(state["run_id"], status=op["status"], end_time=op["time"])


_HANDLERS: dict[str, Callable[[MlflowClient, Journal, dict[str, Any], dict[str, Any]], None]] = {
    "params": _params,
    "tags": _tags,
    "metrics": _metrics,
    "curves": _curves,
    "artifact": _artifact,
    "dataset": _dataset,
    "evidence": send_evidence,
    "end": _end,
}
