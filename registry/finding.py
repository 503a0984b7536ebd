"""What a check found: about an artifact, or about the plan to serve it."""

from __future__ import annotations

from dataclasses import dataclass

ERROR, WARNING, INFO = "error", "warning", "info"
SEVERITIES = (ERROR, WARNING, INFO)  # gravest first


@dataclass(frozen=True)
class Finding:
    """Something that the user should know.

    Attributes:
        id: of the check or rule, `fused-shards`.
        severity: `error` (it will not work), `warning` (it may not, or not as one thinks), `info`.
        message: what was found, in one sentence.
        fix: what to do about it.
        where: the file, tensor or layer; the first one where there are many.
    """

    id: str
    severity: str
    message: str
    fix: str = ""
    where: str = ""
