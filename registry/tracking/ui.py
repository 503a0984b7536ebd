"""MLflow's own server over the embedded database."""

from __future__ import annotations

import sys

from registry.config import Settings
from registry.tracking.client import connect


def server_command(settings: Settings, port: int) -> list[str]:
    """The command that serves the settings' tracking database on 127.0.0.1; makes it if needed."""
    settings.mlflow.mkdir(parents=True, exist_ok=True)
    connect(settings)
    return [
        sys.executable, "-m", "mlflow", "server",
        "--artifacts-destination", (settings.mlflow / "artifacts").as_uri(),
        "--host", "127.0.0.1",
        "--port", str(port),
        "--workers", "1",
    ]  # fmt: skip


def server_environment(settings: Settings) -> dict[str, str]:
    """Which database it serves: not an argument, where all users of the machine could read it.

    Without its job runners the server has 2 processes in place of 10 (MLflow 3.17).
    """
    return {
        "MLFLOW_BACKEND_STORE_URI": settings.tracking_uri,
        "MLFLOW_REGISTRY_STORE_URI": settings.registry_uri,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def page(base: str) -> str:
    """The page to open: MLflow starts in its GenAI mode, which hides the model registry."""
    return f"{base.rstrip('/')}/?workflowType=machine_learning#/experiments"
