"""`qreg lint`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qreg.cli.common import find, resolving_options, target_of, target_options
from qreg.cli.output import Output, styled
from registry.config import Settings
from registry.errors import CheckFailed, UsageError
from registry.finding import ERROR, INFO, WARNING, Finding

if TYPE_CHECKING:
    from rich.console import Console

COLOURS = {ERROR: "bold red", WARNING: "yellow", INFO: "cyan"}


@click.command("lint")
@click.argument("reference", required=False)
@target_options
@click.option("--ignore", multiple=True, metavar="ID", help="Leave a check out; repeatable.")
@click.option(
    "--fail-on",
    type=click.Choice([ERROR, WARNING]),
    default=ERROR,
    show_default=True,
    help="The least severity that ends with exit code 1.",
)
@click.option("--explain", is_flag=True, help="List the checks, or explain the one named.")
@click.option("--fix", type=click.Path(path_type=Path), help="Write a mended copy to a new folder.")
@click.option("--base", metavar="REFERENCE", help="The base model, for files that --fix completes.")
@resolving_options
def command(
    output: Output,
    settings: Settings,
    reference: str | None,
    chip: str | None,
    tensor_parallel: int | None,
    data_parallel: int,
    ignore: tuple[str, ...],
    fail_on: str,
    explain: bool,
    fix: Path | None,
    base: str | None,
) -> None:
    """Find what is wrong with REFERENCE (a folder or a name), from its metadata alone.

    Ends with exit code 1 if there are errors. --explain [ID] tells what each check prevents.
    """
    if explain:
        _explain(output, reference)
        return
    if reference is None:
        raise UsageError("qreg lint needs a folder or a name", remedy="See qreg lint --help .")
    from registry.lint import lint

    target = target_of(chip, tensor_parallel, data_parallel)
    resolved = find(reference, settings, output)
    mended: tuple[str, ...] = ()
    if fix is not None:
        from registry.lint.fix import mend

        with output.progress() as observe:
            repair = mend(resolved, fix, settings, base=base, observe=observe)
        resolved, mended = repair.resolved, repair.mended
    elif base is not None:
        raise UsageError("--base goes with --fix", remedy="Add --fix NEW_FOLDER.")
    _, findings = lint(resolved.source, target, ignore=ignore)
    counts = {s: sum(f.severity == s for f in findings) for s in (ERROR, WARNING, INFO)}
    document = {
        "reference": resolved.reference,
        "findings": [asdict(finding) for finding in findings],
        "summary": counts,
        "mended": list(mended),
    }
    output.result(
        document,
        lambda console: _show(console, resolved.reference, findings, mended),
        essential=f"{counts[ERROR]} errors, {counts[WARNING]} warnings",
    )
    if counts[ERROR] or (fail_on == WARNING and counts[WARNING]):
        raise SystemExit(CheckFailed.exit_code)


def show_findings(console: Console, findings: tuple[Finding, ...]) -> None:
    """Draw findings, gravest first, each with what to do."""
    for finding in findings:
        severity = (f"{finding.severity:<8}", COLOURS[finding.severity])
        message, identifier = (f"{finding.message}  ", "default"), (f"[{finding.id}]", "dim")
        console.print(styled(severity, message, identifier))
        if finding.fix and finding.severity != INFO:
            console.print(f"        → {finding.fix}")


def _show(
    console: Console, reference: str, findings: tuple[Finding, ...], mended: tuple[str, ...]
) -> None:
    for line in mended:
        console.print(f"mended  {line}")
    show_findings(console, findings)
    counts = [
        f"{count} {word}{'' if count == 1 else 's'}"
        for severity, word in ((ERROR, "error"), (WARNING, "warning"), (INFO, "note"))
        if (count := sum(finding.severity == severity for finding in findings))
    ]
    console.print(f"{reference}: {', '.join(counts) or 'nothing to find fault with'}")


def _explain(output: Output, identifier: str | None) -> None:
    from registry.lint.catalogue import BY_ID, CATALOGUE
    from registry.lint.run import require_check

    checks = [BY_ID[require_check(identifier)]] if identifier else list(CATALOGUE)
    document = {
        "checks": [
            {
                "id": check.id,
                "severity": check.severity,
                "prevents": check.prevents,
                "seen": check.seen,
                "fix": check.fix,
                "mendable": check.mendable,
            }
            for check in checks
        ]
    }

    def human(console: Console) -> None:
        for check in checks:
            mending = "  --fix mends it" if check.mendable else ""
            severity = (f"  {check.severity}", COLOURS[check.severity])
            console.print(styled((check.id, "bold"), severity, (mending, "dim")))
            console.print(f"    {check.prevents}")
            console.print(f"    Seen: {check.seen}.")
            console.print(f"    {check.fix}")

    output.result(document, human, essential="\n".join(check.id for check in checks))
