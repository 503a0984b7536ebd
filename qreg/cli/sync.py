"""`qreg sync`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from qreg.cli.common import command_options
from qreg.cli.output import Output
from registry.config import Settings
from registry.errors import ToolError

if TYPE_CHECKING:
    from rich.console import Console


@click.command("sync")
@click.option(
    "--everything",
    is_flag=True,
    help="Send this MLflow also what was recorded for another one, which may be gone.",
)
@partial(command_options, recovering=False)
def command(output: Output, settings: Settings, everything: bool) -> None:
    """Send runs and publications to MLflow that it could not take before.

    A record is for the MLflow that MLFLOW_TRACKING_URI named when it was made.
    """
    from registry.tracking.recovery import synchronise

    done = synchronise(settings, everything=everything)
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

    def human(console: Console) -> None:
        told = "MLflow has everything" if not done.elsewhere else "MLflow has all that is for it"
        console.print(f"{done.sent} record(s) sent; {told}.")

    output.result(
        {"sent": done.sent, "waiting": done.waiting, "elsewhere": dict(done.elsewhere)}, human
    )
