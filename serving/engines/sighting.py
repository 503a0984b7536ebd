"""Looking for the hardware that an engine needs."""

from __future__ import annotations

from registry.errors import IncompatibleError
from registry.finding import ERROR
from serving.hardware import Detected, detect

_EXAMPLES = {"npu": "A3", "cuda": "cuda:H100"}


def sight_of(kind: str, what: str) -> Detected:
    """This machine's hardware of a kind.

    Args:
        kind: `npu` or `cuda`.
        what: what that is, for people.

    Raises:
        IncompatibleError: there is none that could be seen.
    """
    found = detect()
    if found.hardware.kind != kind:
        hidden = next((finding for finding in found.findings if finding.severity == ERROR), None)
        if hidden is not None:
            raise IncompatibleError(hidden.message, remedy=hidden.fix)
        told = [finding.message for finding in found.findings]
        raise IncompatibleError(
            f"No {what} were found on this machine",
            remedy=f"Name the hardware to plan for, as --hardware {_EXAMPLES[kind]} ; "
            "`qreg hardware --all` shows what was found and all names.",
            details="\n".join(told),
        )
    return found
