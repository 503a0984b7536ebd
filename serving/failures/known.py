"""What is known of a failure: how it shows in the log, what it means, what to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KnownFailure:
    """One failure.

    Attributes:
        sign: a regular expression that finds it in a line of the log. What its named groups find
            can stand in `what` and `remedy` as `{name}`.
        what: what happened, as the end of a sentence.
        remedy: what to do next.
        source: where the line is from: a file of the engine with its version, or an issue.
        always: whether it counts in lines of any level; else warnings and below are passed over.
        weak: whether it is often a consequence; it gives way to an error that came before.
    """

    sign: str
    what: str
    remedy: str
    source: str
    always: bool = False
    weak: bool = False
