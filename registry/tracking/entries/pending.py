"""Publications that are on this machine's disk, and that the embedded MLflow does not have yet."""

from __future__ import annotations

from collections.abc import Mapping

from registry.config import Settings
from registry.tracking.entries.wanted import Wanted
from registry.tracking.journal import FINISHED, PUBLICATION, Journal, journals
from registry.tracking.maker import Kinship
from registry.tracking.names import model_name


def read(wanted: Wanted, settings: Settings) -> Mapping[str, str] | None:
    """The tags of the newest publication that moves an alias; None where none is waiting.

    A version has its number from MLflow only, so one that is wanted by number is never here.
    """
    if not wanted.alias:
        return None
    for journal in reversed(journals(settings)):
        for operation in _announced(journal, settings):
            named = model_name(str(operation.get("name"))), operation.get("alias")
            tags = operation.get("tags")
            if named == (wanted.model, wanted.alias) and isinstance(tags, dict):
                return {str(key): str(value) for key, value in tags.items()}
    return None


def is_waiting(model: str, settings: Settings) -> bool:
    """Whether a version of a registered model is on its way to MLflow."""
    return any(
        model_name(str(operation.get("name"))) == model
        for journal in journals(settings)
        for operation in _announced(journal, settings)
    )


def _announced(journal: Journal, settings: Settings) -> list[dict[str, object]]:
    """The versions of a publication that came to its end and that this MLflow will get."""
    try:
        if not journal.readable or journal.header["kind"] != PUBLICATION:
            return []
        if not journal.meant_for(settings) or journal.kinship(settings) is Kinship.FOREIGN:
            return []
        operations = journal.operations()
    except (OSError, ValueError):  # it was just sent, or is damaged; the sender tells that
        return []
    ended = any(op.get("op") == "end" and op.get("status") == FINISHED for op in operations)
    return [op for op in operations if op.get("op") == "version"] if ended else []
