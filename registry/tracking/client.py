"""The MLflow client, imported only when something is sent, and never left to wait for long."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from typing import TYPE_CHECKING

from filelock import FileLock

from registry.config import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

# MLflow's defaults let a dead server hold a caller for about four minutes.
_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Else it prints the address of each run that ends, with any password in it.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def connect(settings: Settings) -> MlflowClient:
    """A client for the tracking server and the model registry of the settings.

    The embedded database is made under a lock: several processes that start on a new SQLite file
    at once crash each other.

    Raises:
        Exception: whatever MLflow raises; it has no single base.
    """
    for key, value in _PATIENCE.items():
        os.environ.setdefault(key, value)
    # MLflow and its libraries warn of one another's deprecations, which is nothing to our users.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _connect(settings)


def initialisation_lock(settings: Settings) -> FileLock:
    """Guards the embedded database while it is being made."""
    settings.mlflow.mkdir(parents=True, exist_ok=True)
    return FileLock(settings.mlflow / "init.lock", timeout=120)


def warm_up(settings: Settings) -> None:
    """Begin to load MLflow in the background: that takes seconds, which long work can hide.

    Whether it can be reached is found out by whoever needs it.
    """

    def load() -> None:
        try:
            connect(settings)
        except Exception:  # noqa: BLE001 - told where the client is needed
            return

    threading.Thread(target=load, daemon=True).start()


def _connect(settings: Settings) -> MlflowClient:
    import mlflow
    from mlflow import MlflowClient

    for noisy in ("alembic", "mlflow.store.db.utils", "mlflow.tracking"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    if not settings.embedded_tracking:
        return MlflowClient(settings.tracking_uri, settings.registry_uri)
    with initialisation_lock(settings):
        mlflow.set_tracking_uri(settings.tracking_uri)
        client = MlflowClient(settings.tracking_uri, settings.registry_uri)
        client.search_experiments(max_results=1)  # makes the schema
    return client


def ensure_experiment(client: MlflowClient, name: str, settings: Settings) -> str:
    """The id of the experiment of this name, made if needed, restored if deleted.

    With the embedded MLflow its artifacts go below the data folder; a server of the user's decides
    for itself.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        folder = settings.mlflow / "artifacts" / name.replace("/", "_")
        tags = {
            "mlflow.experimentKind": "custom_model_development",
            "mlflow.note.content": f"Quantizations of **{name.rpartition('/')[2]}**, made by qreg. "
            "Compare runs by `perplexity/ratio` and `size/after_bytes`; those with another "
            "`perplexity/tokens` measured on another part of the text.",
        }
        location = folder.as_uri() if settings.embedded_tracking else None
        return str(client.create_experiment(name, artifact_location=location, tags=tags))
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)
