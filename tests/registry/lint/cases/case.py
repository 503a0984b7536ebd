"""What a case of the table is: an artifact that a check catches, and one that it lets pass."""

from __future__ import annotations

from dataclasses import dataclass

from registry.lint import CHIPS, Target
from tests.lint_cases import Artifact

A2, A3, P310, A5 = (Target(CHIPS[name]) for name in ("A2", "A3", "310P", "950"))


@dataclass(frozen=True)
class Case:
    """A fault, and its near miss: as alike as possible, and legitimate.

    Attributes:
        name: what is wrong with the faulty one.
        faulty: the artifact that is caught.
        sound: the artifact that is let pass.
        severity: of the finding.
        where: what the finding names; None where that depends on the order of tensors.
        says: a part of the message.
        target: what the faulty one shall run on.
        sound_target: what the sound one shall run on, where it is another.
        passes_with: severity of the finding that also a sound artifact has.
        not_fixed_by: advice that would break it.
    """

    name: str
    faulty: Artifact
    sound: Artifact
    severity: str = "error"
    where: str | None = ""
    says: str = ""
    target: Target | None = None
    sound_target: Target | None = None
    passes_with: str | None = None
    not_fixed_by: str | None = None
