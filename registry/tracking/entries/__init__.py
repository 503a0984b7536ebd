"""Entries of MLflow's model registry, read without MLflow.

Importing MLflow takes seconds and hundreds of MB, and a lookup wants two tags of one version. So
the embedded database is read as the SQLite file that it is (`sqlite`), a server through its REST
API (`rest`), and what qreg has published and not sent yet from its journal (`pending`). MLflow's
own client (`client`) is left for what only it can reach: PostgreSQL, MySQL, Databricks, plug-ins.
"""

from __future__ import annotations

from collections.abc import Mapping

from registry.config import Settings
from registry.tracking.entries import pending, rest, sqlite
from registry.tracking.entries.wanted import Wanted

__all__ = ["Wanted", "read_tags"]


def read_tags(wanted: Wanted, settings: Settings) -> Mapping[str, str] | None:
    """The tags of one model version.

    Args:
        wanted: which one.
        settings: which MLflow.

    Returns:
        None where MLflow says that it has no such model, version or alias.

    Raises:
        TransferError: a server does not answer, or is no MLflow.
        NotAllowedError: a server refuses.
        ToolError: a database cannot be read.
    """
    if not settings.embedded_registry:
        return _read(wanted, settings)
    # What is sent meanwhile leaves the journal only when the database has it.
    found = pending.read(wanted, settings) or _read(wanted, settings)
    if found is None and wanted.version and pending.is_waiting(wanted.model, settings):
        from registry.tracking.recovery import synchronise

        synchronise(settings)  # its number comes from MLflow
        found = _read(wanted, settings)
    return found


def _read(wanted: Wanted, settings: Settings) -> Mapping[str, str] | None:
    uri = settings.registry_uri
    path = sqlite.file_of(uri)
    if path is not None and sqlite.is_readable(path):
        return sqlite.read(wanted, path)
    if rest.is_spoken_by(uri):
        return rest.read(wanted, uri)
    from registry.tracking.entries import client

    return client.read(wanted, settings)
