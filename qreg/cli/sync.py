"""`qreg sync`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from qreg.cli.common import command_options
from qreg.cli.output import Output
from registry.config import Settings
from registry.errors import ToolError

if TYPE_CHECKING:
    from rich.console import Console


@click.command("sync")
@command_options
def command(output: Output, settings: Settings) -> None:
    """Send runs and publications to MLflow that it could not take before."""
    from registry.tracking.recovery import synchronise

    done = synchronise(settings)
    if done.waiting:
        raise ToolError(
            f"MLflow at {settings.tracking_label} does not answer: {done.trouble}",
            remedy=f"{done.waiting} run(s) stay on this machine; run qreg sync again when it does.",
        )

    def human(console: Console) -> None:
        console.print(f"{done.sent} run(s) sent; MLflow has everything.")

    output.result({"sent": done.sent, "waiting": done.waiting}, human)
