"""`qreg serve`."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import click

from qreg.cli.common import address_options, command_options, engine_options
from qreg.cli.output import Output
from registry.config import Settings

if TYPE_CHECKING:
    from rich.console import Console


@click.command("serve")
@click.argument("reference")
@engine_options
@address_options
@click.option(
    "--timeout",
    default=1800.0,
    show_default=True,
    type=click.FloatRange(min=1),
    help="Seconds until it must answer.",
)
@click.option("--smoke-only", is_flag=True, help="Stop after the smoke request.")
@command_options
def command(
    output: Output,
    settings: Settings,
    reference: str,
    engine: str,
    host: str,
    port: int,
    trust_remote_code: bool,
    timeout: float,
    smoke_only: bool,
    engine_arguments: tuple[str, ...],
) -> None:
    """Serve REFERENCE: verify it, launch the engine, wait until it answers, ask it once.

    Arguments after -- are the engine's own. Ctrl-C or SIGTERM stops the whole process tree; once
    the server was ready that is a good end (exit code 0).
    """
    from registry.transfer import bring_here, pull
    from serving.facts import Wishes
    from serving.launch import launch, require_launchable
    from serving.resolver import make_plan
    from serving.smoke import smoke

    wishes = Wishes(host, port, trust_remote_code, engine_arguments, os.environ)
    ready = False
    try:
        with output.progress() as observe:
            exact = bring_here(reference, settings, observe)  # what is planned is what is verified
            plan = make_plan(exact, wishes, settings, engine=engine, observe=observe)
            require_launchable(plan)
            pulled = pull(exact, settings, observe=observe)
        with contextlib.ExitStack() as running:
            with output.progress() as observe:
                starting = launch(plan, settings, limit=timeout, observe=observe)
                server = running.enter_context(starting)
            proof = smoke(server, settings)
            ready = True
            document = {
                "endpoint": f"{server.url}/v1",
                "model": plan.value("--served-model-name"),
                "digest": str(pulled.manifest.digest),
                "seconds_to_ready": round(server.seconds, 1),
                "smoke": {"prompt": proof.prompt, "answer": proof.answer},
                "log": str(server.log),
            }

            def human(console: Console) -> None:
                console.print(f"ready     {server.url}/v1 after {server.seconds:.0f} s")
                console.print(f"model     {document['model']}")
                console.print(f"asked     {proof.prompt}")
                console.print("answered  " + proof.answer.strip().replace("\n", "\n          "))
                console.print(f"log       {server.log}")
                if not smoke_only:
                    console.print("Ctrl-C stops it.")

            output.result(document, human, essential=f"{server.url}/v1")
            if not smoke_only:
                server.wait()
    except KeyboardInterrupt:
        if not ready:
            raise
    output.note("Stopped; no process of the engine is left.")
