"""The user's sets that a recorded quantization was calibrated with: found again, or asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantizers.calibration import digest_of
from registry.errors import IntegrityError, UsageError


def recorded_set(which: str, record: Mapping[str, Any], given: Path | None) -> Path | None:
    """The set that was used then, with the digest that is recorded.

    Args:
        which: `calibration` or `anti_dataset`.
        record: the provenance.
        given: where the user says it is; None: where it was.

    Returns:
        None where none of the user's was used.

    Raises:
        UsageError: it is not where it was, or has changed there, and no other place is given.
        IntegrityError: what is given is another set.
    """
    recorded = record.get(which)
    if not isinstance(recorded, Mapping) or recorded.get("origin"):
        return None  # none, or one that comes with the tool
    remedy = f"Say where that set is: --{which.replace('_', '-')} PATH ."
    wanted = recorded.get("digest")
    if given is not None:
        if wanted and digest_of(given) != wanted:
            raise IntegrityError(
                f"{given} is not the set that is recorded ({wanted})", remedy=remedy
            )
        return given
    was = Path(str(recorded.get("path") or ""))
    if recorded.get("path") and wanted and was.exists():
        if digest_of(was) == wanted:
            return was
        where = f"{was} is there and has changed since"
    elif recorded.get("path"):
        where = f"{was} is not there any more"
    else:
        where = "where that was is not recorded"
    raise UsageError(
        f"It was made with the set {recorded.get('file')} ({wanted or 'of a hub'}): {where}. "
        "Neither qreg nor the run in MLflow holds a copy",
        remedy=remedy,
    )
