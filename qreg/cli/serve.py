"""`qreg serve`."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

import click

from qreg.cli.common import address_options, resolving_options
from qreg.cli.converting import readable
from qreg.cli.output import Output
from qreg.cli.planning import Planning, planning_options, prepare
from registry.config import Settings
from registry.errors import QregError
from registry.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console

    from serving.smoke import Smoke

# What a model did, by the form of its answer; a model may still be thinking after all its tokens.
_VERBS = {"content": "answered", "reasoning": "thought", "tool call": "called"}


@click.command("serve")
@click.argument("reference")
@planning_options
@address_options
@click.option(
    "--timeout",
    default=1800.0,
    show_default=True,
    type=click.FloatRange(min=1),
    help="Seconds until it must answer.",
)
@click.option(
    "--convert",
    is_flag=True,
    help="Where the engine cannot read ModelSlim's format, serve a copy in another one.",
)
@click.option(
    "--node", type=click.IntRange(min=0), help="This machine's number among --nodes, from 0."
)
@click.option("--smoke-only", is_flag=True, help="Stop after the smoke request.")
@resolving_options
def command(
    output: Output,
    settings: Settings,
    reference: str,
    planning: Planning,
    host: str,
    port: int,
    timeout: float,
    convert: bool,
    node: int | None,
    smoke_only: bool,
) -> None:
    """Serve REFERENCE: plan, verify it, launch the engine, wait until it answers, ask it once.

    What does not fit is refused before anything is moved.

    Arguments after -- are the engine's own. Ctrl-C or SIGTERM stops the whole process tree; once
    the server was ready that is a good end (exit code 0).

    Of several nodes each runs this command with its own --node, and they end together.
    """
    from qreg.cli.nodes import joined, leading, number_of
    from serving.launch import launch
    from serving.smoke import smoke

    number = number_of(planning, node)
    ready = False
    try:
        with output.progress() as observe:
            if convert:
                asked = planning.plan(reference, settings, observe, host=host, port=port)
                reference = readable(reference, asked, settings, observe)
            plan = prepare(planning, reference, settings, observe, host=host, port=port)
        if number:
            told = partial(_tell_mlflow, output, settings, last=False)
            joined(plan, number, planning, settings, output, timeout, told)
            return
        with contextlib.ExitStack() as running:
            with output.progress() as observe:
                joining = leading(plan, planning, settings, timeout, observe)
                plan, group = running.enter_context(joining)
                starting = launch(plan, settings, limit=timeout, observe=observe, group=group)
                server = running.enter_context(starting)
                observe(Progress("asking it once"))
                proof = smoke(server, settings)
            for text in proof.warnings:
                output.note(text, warning=True)
            ready = True
            group.announce()
            _tell_mlflow(output, settings, last=smoke_only)
            document = {
                "endpoint": f"{server.url}/v1",
                "model": plan.value("--served-model-name"),
                "digest": plan.digest,
                "seconds_to_ready": round(server.seconds, 1),
                "smoke": proof.to_json(),
                "log": str(server.log),
            }

            def human(console: Console) -> None:
                console.print(f"ready     {server.url}/v1 after {server.seconds:.0f} s")
                console.print(f"model     {document['model']}")
                _show_smoke(console, proof)
                console.print(f"log       {server.log}")
                if not smoke_only:
                    console.print("Ctrl-C stops it.")

            output.result(document, human, essential=f"{server.url}/v1")
            if not smoke_only:
                server.wait()
    except KeyboardInterrupt:
        if not ready:
            raise
    except QregError:
        if not ready:
            # A failed start is evidence, too.
            _tell_mlflow(output, settings, last=True, failed=True)
        raise
    output.note("Stopped; no process of the engine is left.")


def _show_smoke(console: Console, proof: Smoke) -> None:
    console.print(f"asked     {proof.prompt}")
    if thoughts := " ".join(proof.reasoning.split()):
        console.print(f"thought   {thoughts if len(thoughts) < 200 else f'{thoughts[:199]}…'}")
    verb = _VERBS.get(proof.form, "answered")
    console.print(f"{verb:<9} " + proof.answer.strip().replace("\n", "\n          "))
    if proof.drafted:
        console.print(f"drafts    {proof.accepted} of {proof.drafted} tokens accepted")


def _tell_mlflow(output: Output, settings: Settings, *, last: bool, failed: bool = False) -> None:
    """Send what the launch showed to MLflow, so that nobody waits for it.

    What cannot be sent is noted: it ends no server, and hides no reason why a launch failed.

    Args:
        output: takes the note.
        settings: which MLflow.
        last: the command ends next, and this machine may end with it: a server of others is told
            before, as for publications.
        failed: the launch did; nothing of it may go on, so that the next command sends.
    """
    from qreg.cli.sending import send_later
    from registry.tracking.journal import journals
    from registry.tracking.recovery import synchronise

    try:
        if not journals(settings):
            return
        if last and not settings.embedded_tracking:
            synchronise(settings)
        elif not failed:
            send_later()
    except (OSError, QregError) as error:
        why = error.message if isinstance(error, QregError) else error.strerror or str(error)
        output.note(
            f"What this launch showed could not be sent to MLflow: {why}. Send it with `qreg sync` "
            "when that is mended.",
            warning=True,
        )
