"""`qreg sync`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from qreg.cli.common import command_options, tell_left
from qreg.cli.output import Output
from registry.config import Settings
from registry.errors import ToolError

if TYPE_CHECKING:
    from rich.console import Console


@click.command("sync")
@click.option(
    "--everything",
    is_flag=True,
    help="Send this MLflow also what was recorded for another one, or by another data folder.",
)
@partial(command_options, recovering=False)
def command(output: Output, settings: Settings, everything: bool) -> None:
    """Send runs and publications to MLflow that it could not take before.

    A record is for the MLflow that MLFLOW_TRACKING_URI named when it was made.
    """
    from registry.tracking.recovery import synchronise

    done = synchronise(settings, everything=everything)
    tell_left(done.left, output)
    if done.waiting:
        raise ToolError(
            f"MLflow at {settings.tracking_label} does not answer: {done.trouble}",
            remedy=f"{done.waiting} record(s) stay on this machine; run qreg sync again when it "
            "does.",
        )
    for address, count in done.elsewhere.items():
        output.note(
            f"{count} record(s) are for {address or 'the MLflow in the data folder'}: set "
            "MLFLOW_TRACKING_URI as it was then, or send them here with --everything"
        )

    if done.foreign:
        output.note(
            f"{done.foreign} record(s) were made by another data folder, user or machine, of which "
            f"{settings.data} is a copy: they stay as they are, as their work may be going on. Run "
            "qreg sync there; if that is gone, qreg sync --everything ends and sends them here"
        )

    def human(console: Console) -> None:
        rest = done.elsewhere or done.foreign
        told = "MLflow has all that is for it" if rest else "MLflow has everything"
        console.print(f"{done.sent} record(s) sent; {told}.")

    output.result(
        {
            "sent": done.sent,
            "waiting": done.waiting,
            "elsewhere": dict(done.elsewhere),
            "foreign": done.foreign,
        },
        human,
    )
