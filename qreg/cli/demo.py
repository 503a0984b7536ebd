"""`qreg demo`."""

from __future__ import annotations

import click

from qreg.cli.output import HUMAN, Output
from registry.config import load as load_settings


@click.command("demo")
def command() -> None:
    """Train, quantize, publish, pull, plan and serve a small model, on this machine's CPU."""
    from qreg.demo.story import tell

    output = Output(HUMAN)
    tell(load_settings(), output.say, output.progress)
