"""Running the catalogue over an artifact."""

from __future__ import annotations

from collections.abc import Collection

from registry.checkpoint import read_checkpoint
from registry.checkpoint.facts import Facts, read_facts
from registry.errors import UsageError
from registry.finding import SEVERITIES, Finding
from registry.lint.catalogue import BY_ID, CATALOGUE
from registry.lint.subject import Subject
from registry.lint.target import Target
from registry.source import Source


def lint(
    source: Source, target: Target | None = None, *, ignore: Collection[str] = ()
) -> tuple[Facts, tuple[Finding, ...]]:
    """Examine an artifact; only metadata is read.

    Args:
        source: where it is.
        target: what it shall run on; by default any chip of the newest release.
        ignore: ids of checks to leave out.

    Returns:
        What is known of it, and the findings, gravest first.

    Raises:
        UsageError: an unknown id in `ignore`.
        NotFoundError, TransferError: the source cannot be read at all.
    """
    facts = read_facts(read_checkpoint(source))
    return facts, lint_facts(facts, source, target, ignore=ignore)


def lint_facts(
    facts: Facts, source: Source, target: Target | None = None, *, ignore: Collection[str] = ()
) -> tuple[Finding, ...]:
    """Examine an artifact whose metadata was read already; see `lint`."""
    for identifier in ignore:
        require_check(identifier)
    subject = Subject(facts, source, target or Target())
    findings = [
        finding
        for check in CATALOGUE
        if check.id not in ignore
        for finding in check.findings(subject)
    ]
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def require_check(identifier: str) -> str:
    """Return the id of a check; raises UsageError if there is none of that name."""
    if identifier not in BY_ID:
        raise UsageError(
            f"There is no check {identifier!r}", remedy="`qreg lint --explain` lists them all."
        )
    return identifier
