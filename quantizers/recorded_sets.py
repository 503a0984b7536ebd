"""The user's sets that a recorded quantization was calibrated with: found again, or asked for."""

from __future__ import annotations

from pathlib import Path

from quantizers.calibration import digest_of
from quantizers.places import Places
from quantizers.recorded import Record
from registry.errors import IntegrityError, UsageError


def find_recorded_set(use: str, record: Record, places: Places, given: Path | None) -> Path | None:
    """The set that was used then, with the digest that is recorded.

    Args:
        use: `calibration` or `anti_dataset`.
        record: of the artifact.
        places: where things were when this machine made it.
        given: where the user says it is; None: where it was.

    Returns:
        None where none of the user's was used.

    Raises:
        UsageError: it is not where it was, or has changed there, and no other place is given.
        IntegrityError: what is given is another set.
    """
    recorded = record.sets.get(use)
    if recorded is None:
        return None
    remedy = f"Say where that set is: --{use.replace('_', '-')} PATH ."
    wanted = recorded.digest and str(recorded.digest)
    if given is not None:
        if wanted and digest_of(given) != wanted:
            raise IntegrityError(
                f"{given} is not the set that is recorded ({wanted})", remedy=remedy
            )
        return given
    was = places.sets.get(use, "")
    if was and wanted and (Path(was).is_file() or Path(was).is_dir()):
        if digest_of(Path(was)) == wanted:
            return Path(was)
        where = f"{was} is there and has changed since"
    elif was:
        where = f"{was} is not there any more"
    elif recorded.path:
        where = f"whoever made it had it in {recorded.path!r}"
    else:
        where = "where that is is not known on this machine"
    raise UsageError(
        f"It was made with the set {recorded.file} ({wanted or 'of a hub'}): {where}. "
        "Neither qreg nor the run in MLflow holds a copy",
        remedy=remedy,
    )
