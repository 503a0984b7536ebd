"""The model registry through MLflow's own client, for what nothing else here can reach.

These are databases of a server (PostgreSQL, MySQL, MSSQL), Databricks, and plug-ins. Importing
MLflow takes seconds.
"""

from __future__ import annotations

from collections.abc import Mapping

from registry.config import Settings
from registry.errors import ToolError
from registry.tracking.client import connect
from registry.tracking.entries.wanted import Wanted
from registry.transport.signs import note_answer, note_question

_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def read(wanted: Wanted, settings: Settings) -> Mapping[str, str] | None:
    """The tags of a version; None where MLflow has none.

    Raises:
        ToolError: MLflow does not answer.
    """
    try:
        client = connect(settings)
        note_question()
        if wanted.version:
            version = client.get_model_version(wanted.model, wanted.version)
        else:
            version = client.get_model_version_by_alias(wanted.model, wanted.alias)
        note_answer()
    except Exception as error:
        if getattr(error, "error_code", "") in _ABSENT:
            return None
        raise ToolError(
            f"MLflow at {settings.registry_label} does not answer: {type(error).__name__}",
            remedy="Check MLFLOW_TRACKING_URI and the server, or name the artifact as ORG/NAME.",
        ) from error
    return dict(version.tags)
