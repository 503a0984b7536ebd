"""The MLflow client, imported only when something is sent, and never left to wait for long."""

from __future__ import annotations

import logging
import os
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow
        from mlflow import MlflowClient
    for noisy in ("alembic", "mlflow.store.db.utils", "mlflow.tracking"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    if not settings.embedded_tracking:
        return MlflowClient(settings.tracking_uri, settings.registry_uri)
    settings.mlflow.mkdir(parents=True, exist_ok=True)
    with FileLock(settings.mlflow / "init.lock", timeout=120):
        mlflow.set_tracking_uri(settings.tracking_uri)
        client = MlflowClient(settings.tracking_uri, settings.registry_uri)
        client.search_experiments(max_results=1)  # makes the schema
    return client


def artifact_location(settings: Settings) -> str | None:
    """Where a new experiment keeps its artifacts; None leaves it to the user's server."""
    return (settings.mlflow / "artifacts").as_uri() if settings.embedded_tracking else None
