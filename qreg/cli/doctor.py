"""`qreg doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from qreg.cli.common import address_options, resolving_options
from qreg.cli.output import Output, styled
from qreg.cli.planning import Planning, planning_options
from registry.config import Settings

if TYPE_CHECKING:
    from rich.console import Console

    from registry.doctor import Check

_MARKS = {"error": ("✘", "red"), "warning": ("!", "yellow"), "unknown": ("?", "cyan"),
          "ok": ("✔", "green")}  # fmt: skip
_LONGEST = 60.0  # seconds for the plan of an artifact that is elsewhere


@click.command("doctor")
@click.argument("reference", required=False)
@planning_options
@address_options
@resolving_options
def command(
    output: Output,
    settings: Settings,
    reference: str | None,
    planning: Planning,
    host: str,
    port: int,
) -> int:
    """Look at what a launch needs of this machine and of the services around it; say how to mend.

    With REFERENCE, the plan of its launch, the memory that is free for it and the disk for its
    files are looked at, too. Ends with 1 if something would stop a launch.
    """
    from registry.doctor import OK, STATUSES, run_looks
    from registry.doctor.run import registry_looks
    from serving.doctor.run import launch_looks, serving_looks

    looks = serving_looks(
        settings,
        engine=planning.engine or "",
        numbers=planning.devices or "",
        host=host,
        port=port,
        asked=reference is not None,
    )
    looks += registry_looks(settings)
    if reference is not None:
        wanted = reference
        looks += launch_looks(
            lambda: planning.plan(wanted, settings, lambda _: None, host=host, port=port),
            wanted,
            settings,
            here=planning.hardware is None,
            numbers=planning.devices or "",
        )
    checks = run_looks(looks, _LONGEST) if reference else run_looks(looks)
    count = {status: sum(c.status == status for c in checks) for status in STATUSES}
    stopped = count["error"] > 0
    told = _summary(count, reference)
    document = {
        "checks": [check.to_json() for check in checks],
        "summary": {**count, "text": told},
        "launchable": not stopped,
    }

    def human(console: Console) -> None:
        for status in (OK, *reversed(STATUSES[:-1])):  # the gravest last, where one looks first
            _show(console, [check for check in checks if check.status == status])
        console.print(styled((told, "bold red" if stopped else "bold")))

    output.result(document, human, essential=told)
    return 1 if stopped else 0


def _summary(count: dict[str, int], reference: str | None) -> str:
    what = f"a launch of {reference}" if reference else "a launch"
    if count["error"]:
        things = "1 thing" if count["error"] == 1 else f"{count['error']} things"
        return f"{things} would stop {what}"
    rest = [f"{count[status]} {status}" for status in ("warning", "unknown") if count[status]]
    return f"Nothing would stop {what}" + (f" ({', '.join(rest)})" if rest else "")


def _show(console: Console, checks: Sequence[Check]) -> None:
    for check in checks:
        sign, style = _MARKS[check.status]
        console.print(styled((f"{sign} ", style), f"{check.id:<17} ", (check.found, "default")))
        if check.fix and check.status != "ok":
            console.print(styled(" " * 20, (check.fix, "dim")))
