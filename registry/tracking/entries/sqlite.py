"""The model registry in a SQLite file, read with the standard library.

Tables and columns are those of MLflow's `store/model_registry/dbmodels/models.py` (3.17). Older
databases lack the column `workspace`; one of another layout is left to MLflow's own client, which
knows how to move it on.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from registry.errors import ToolError
from registry.tracking.entries.wanted import Wanted

_SCHEMES = ("sqlite:///", "sqlite+pysqlite:///")
_WAIT = 20.0  # seconds for a writer, as MLflow's own `busy_timeout`
_DELETED = "Deleted_Internal"  # the stage of a version that was deleted
_DEFAULT_WORKSPACE = "default"
_COLUMNS = {
    "model_versions": {"name", "version", "current_stage"},
    "model_version_tags": {"name", "version", "key", "value"},
    "registered_model_aliases": {"name", "alias", "version"},
}


def file_of(uri: str) -> Path | None:
    """The file that a URI of SQLAlchemy names; None for anything but a plain SQLite file."""
    for scheme in _SCHEMES:
        if uri.startswith(scheme) and not set(uri) & set("?#%"):
            path = uri.removeprefix(scheme)
            return Path(path) if path and path != ":memory:" else None
    return None


def is_readable(path: Path) -> bool:
    """Whether the file is missing, or has the tables that `read` knows."""
    if os.environ.get("MLFLOW_WORKSPACE", "").strip():
        return False
    if not path.is_file():
        return True
    with _connection(path) as database:
        found = {table: _columns(database, table) for table in _COLUMNS}
    # No table at all: MLflow has not made them yet.
    return not any(found.values()) or all(found[name] >= need for name, need in _COLUMNS.items())


def read(wanted: Wanted, path: Path) -> Mapping[str, str] | None:
    """The tags of a version; None where there is none, or no database.

    Raises:
        ToolError: the file cannot be read.
    """
    if not path.is_file():
        return None
    with _connection(path) as database:
        columns = _columns(database, "model_versions")
        if not columns:
            return None
        where, values = "name = ?", [wanted.model]
        if "workspace" in columns:
            where, values = f"{where} AND workspace = ?", [*values, _DEFAULT_WORKSPACE]
        version = _version(database, wanted, where, values)
        if version is None:
            return None
        rows = database.execute(
            f"SELECT key, value FROM model_version_tags WHERE {where} AND version = ?",  # noqa: S608
            [*values, version],
        )
        return {str(key): str(value) for key, value in rows}


def _version(
    database: sqlite3.Connection, wanted: Wanted, where: str, values: Sequence[str]
) -> int | None:
    """The number of the version, if it exists and was not deleted."""
    there = f"SELECT max(version) FROM model_versions WHERE {where} AND current_stage != ?"  # noqa: S608
    known = [*values, _DELETED]
    if wanted.alias.lower() == "latest":  # MLflow reserves it
        return _first(database, there, known)
    number: int | None
    if wanted.alias:
        aliased = f"SELECT version FROM registered_model_aliases WHERE {where} AND alias = ?"  # noqa: S608
        number = _first(database, aliased, [*values, wanted.alias])
    else:
        number = int(wanted.version) if len(wanted.version) < 19 else None  # SQLite's integers end
    if number is None:
        return None
    return _first(database, f"{there} AND version = ?", [*known, number])


def _first(database: sqlite3.Connection, query: str, values: Sequence[str | int]) -> int | None:
    row = database.execute(query, values).fetchone()
    return row[0] if row else None


def _columns(database: sqlite3.Connection, table: str) -> set[str]:
    return {str(row[1]) for row in database.execute(f"PRAGMA table_info({table})")}


@contextmanager
def _connection(path: Path) -> Iterator[sqlite3.Connection]:
    """The database, for reading only.

    Raises:
        ToolError: it cannot be opened or read.
    """
    try:
        uri = f"file:{quote(str(path.absolute()))}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=_WAIT)) as database:
            yield database
    except sqlite3.Error as error:
        raise ToolError(
            f"MLflow's database {path} cannot be read: {error}",
            remedy="Check the file, its permissions and its disk; `qreg ui` opens MLflow on it.",
        ) from error
