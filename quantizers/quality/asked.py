"""What is asked of a measurement: refused before weights are read or an engine is started."""

from __future__ import annotations

from pathlib import Path

from quantizers.preflight import check_evaluation_text
from registry.describe import read_manifest
from registry.errors import IncompatibleError, UsageError
from registry.lint.fix import require_relation
from registry.resolve import Resolved


def check_asked(
    base: Resolved, against: Resolved | None, text: Path | None, weights_only: bool
) -> None:
    """Refuse what would be ignored, or fail when the weights have been compared.

    Raises:
        UsageError: the text is no text, or wanted with the weights alone, or `against` is.
        IncompatibleError: `against` is not here, or of another architecture than the base.
    """
    if weights_only and (text is not None or against is not None):
        unused = "a text to predict" if text is not None else "another artifact to answer"
        raise UsageError(
            f"With the weights alone there is no use for {unused}",
            remedy="Leave out --weights-only, or both --text and --against.",
        )
    check_evaluation_text(text)
    if against is None:
        return
    here(against)
    try:
        require_relation(base.source, against.source)
    except IncompatibleError as error:
        raise IncompatibleError(
            f"{against.reference} cannot answer beside the others: {error.message}",
            remedy="Name another artifact of the same base as --against, or leave it out.",
        ) from error


def here(resolved: Resolved) -> Path:
    """The folder of what is on this machine; raises IncompatibleError for all else."""
    if resolved.folder is None:
        raise IncompatibleError(
            f"{resolved.reference} is not on this machine, and its weights have to be read",
            remedy=f"Bring it here first: qreg pull {resolved.reference}",
        )
    return resolved.folder


def name_of(resolved: Resolved) -> str:
    """As its manifest calls it, or its folder."""
    manifest = read_manifest(resolved.folder) if resolved.folder else None
    return manifest.name if manifest else resolved.reference.rstrip("/").rpartition("/")[2]
