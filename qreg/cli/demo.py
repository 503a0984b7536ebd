"""`qreg demo`."""

from __future__ import annotations

import click

from qreg.cli.common import command_options
from qreg.cli.output import Output
from registry.config import Settings


@click.command("demo")
@command_options
def command(output: Output, settings: Settings) -> None:
    """Train, quantize, publish, pull, plan and serve a small model, on this machine's CPU."""
    from qreg.demo.story import tell

    with output.progress() as observe:
        tell(settings, lambda line: print(line, flush=True), observe)
