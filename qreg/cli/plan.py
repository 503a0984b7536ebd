"""`qreg plan`, and how plans are drawn."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import click

from qreg.cli.common import address_options, command_options, engine_options
from qreg.cli.output import Output, size_text
from registry.config import Settings

if TYPE_CHECKING:
    from rich.console import Console

    from serving.plan import Plan


@click.command("plan")
@click.argument("reference")
@engine_options
@address_options
@click.option("--shell", is_flag=True, help="Print the launch as a shell script.")
@command_options
def command(
    output: Output,
    settings: Settings,
    reference: str,
    engine: str,
    host: str,
    port: int,
    trust_remote_code: bool,
    shell: bool,
    engine_arguments: tuple[str, ...],
) -> int:
    """Show how REFERENCE would be served on this machine, with a reason for every flag.

    Arguments after -- are the engine's own; they win over the plan's.
    """
    from registry.errors import IncompatibleError
    from serving.facts import Wishes
    from serving.resolver import make_plan

    wishes = Wishes(host, port, trust_remote_code, engine_arguments, os.environ)
    with output.progress() as observe:
        plan = make_plan(reference, wishes, settings, engine=engine, observe=observe)
    if shell:
        from serving.render.shell import render_shell

        script = render_shell(plan)
        show = lambda console: console.print(script, end="")  # noqa: E731
        output.result({"script": script}, show, essential=script.rstrip())
    else:
        essential = shlex.join(plan.argv)
        output.result(plan.to_json(), lambda console: draw_plan(console, plan), essential)
    return 0 if plan.fits else IncompatibleError.exit_code


def draw_plan(console: Console, plan: Plan) -> None:
    """The launch, each flag with its reason, and where the memory goes."""
    from rich.table import Table

    title = f"{plan.engine} {plan.release}".strip()
    console.print(f"plan  {plan.artifact} on {plan.hardware} with {title}")
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("flag", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("why")
    table.add_column("from")
    for flag in plan.flags:
        table.add_row(flag.name, " ".join([flag.value or "", *flag.more]), flag.reason, flag.source)
    console.print(table)
    draw_memory(console, plan)
    for finding in plan.findings:
        mark = "error" if finding.severity == "error" else "warning"
        console.print(f"{mark} {finding.message}. {finding.fix}")


def draw_memory(console: Console, plan: Plan) -> None:
    """One bar of 50 characters: weights, KV cache, overhead, free."""
    memory = plan.memory
    parts = (
        ("weights", memory.weights, "█"),
        ("KV cache", memory.kv_cache, "▓"),
        ("overhead", memory.overhead, "▒"),
        ("free", max(0, memory.free), "░"),
    )
    total = sum(size for _, size, _ in parts) or 1
    bar = "".join(sign * max(bool(size), round(50 * size / total)) for _, size, sign in parts)
    legend = "  ".join(f"{sign} {name} {size_text(size)}" for name, size, sign in parts)
    console.print(f"memory {bar} of {size_text(memory.capacity)}")
    console.print(f"       {legend}")
