"""`qreg plan`, and how plans are drawn."""

from __future__ import annotations

import shlex
import textwrap
from typing import TYPE_CHECKING, Any

import click

from qreg.cli.common import address_options, resolving_options
from qreg.cli.output import QUIET, Output, size_text, styled
from qreg.cli.planning import Planning, planning_options
from registry.config import Settings
from registry.finding import ERROR
from registry.names import one_line, printable
from serving.render import FORMATS

if TYPE_CHECKING:
    from rich.console import Console

    from serving.plan import Flag, Plan

_BAR = 50  # columns
_LONGEST = 44  # columns of a flag with its value, before the reason


@click.command("plan")
@click.argument("reference")
@planning_options
@address_options
@click.option(
    "--explain", metavar="FLAG", help="Tell all about one flag, and where it is known from."
)
@click.option(
    "--as", "form", type=click.Choice(list(FORMATS)), help="Print the launch in this form."
)
@click.option("--shell", is_flag=True, help="The same as --as shell .")
@resolving_options
def command(
    output: Output,
    settings: Settings,
    reference: str,
    planning: Planning,
    host: str,
    port: int,
    explain: str | None,
    form: str | None,
    shell: bool,
) -> int:
    """Show how REFERENCE would be served, with a reason for every flag, before anything is moved.

    Arguments after -- are the engine's own; they win over the plan's.
    """
    from registry.errors import IncompatibleError
    from serving.render.shell import join

    with output.progress() as observe:
        plan = planning.plan(reference, settings, observe, host=host, port=port)
    form = form or ("shell" if shell else None)
    if explain is not None:
        flag = _named(plan, explain)
        output.result(
            flag.to_json(), lambda console: _explain(console, plan, flag), flag.value or flag.name
        )
    elif form is not None:
        from serving.render import render

        text = render(plan, form)
        show = lambda console: console.print(text, end="", soft_wrap=True)  # noqa: E731
        output.result({"format": form, "text": text}, show, essential=text.rstrip())
    else:
        essential = "\n".join(join(plan.argv_of(node)) for node in range(plan.nodes))
        output.result(plan.to_json(), lambda console: draw_plan(console, plan), essential)
    silent = form or explain or output.mode == QUIET
    for finding in plan.findings if silent else ():
        # A line with a placeholder is none that starts; all else is said where there is room.
        if finding.severity == ERROR or (finding.id == "address" and not explain):
            output.note(f"{finding.message}. {finding.fix}", warning=True)
    return 0 if plan.fits else IncompatibleError.exit_code


def _named(plan: Plan, name: str) -> Flag:
    from registry.errors import NotFoundError

    wanted = name if not name.startswith("-") or name.startswith("--") else f"-{name}"
    for candidate in (wanted, f"--{wanted}"):
        flag = plan.flag(candidate)
        if flag is not None:
            return flag
    raise NotFoundError(
        f"The plan has no flag {name}",
        remedy=f"It has {', '.join(flag.name for flag in plan.flags_of(0))}.",
    )


def _explain(console: Console, plan: Plan, flag: Flag) -> None:
    value = " ".join([flag.value or "", *flag.more]).strip()
    console.print(f"{flag.name} {value}".rstrip(), style="bold")
    console.print(f"why       {flag.reason}")
    console.print(f"from      {flag.source}")
    if flag.evidence:
        console.print(f"evidence  {flag.evidence}")
    console.print(f"for       {plan.artifact} on {plan.hardware} with {_engine(plan)}")


def draw_plan(console: Console, plan: Plan) -> None:
    """The launch, each flag with its reason, and where the memory goes."""
    sizes = " × ".join(
        f"{name} {plan.parallel[key]}"
        for name, key in (("TP", "tensor"), ("DP", "data"), ("PP", "pipeline"), ("EP", "expert"))
        if plan.parallel.get(key, 1) > 1
    )
    where = f"{plan.nodes} × {plan.hardware}" if plan.nodes > 1 else plan.hardware
    what = f"{plan.artifact} on {where} with {_engine(plan)}{', ' + sizes if sizes else ''}"
    console.print(styled((what, "bold")))
    width = min(console.width, 160)
    for flag in plan.flags:
        if not flag.is_environment:
            _draw_flag(console, flag, flag.name, width)
    for node, own in enumerate(plan.node_flags):
        words = shlex.join(word for flag in own for word in flag.argv())
        console.print(styled((f"node {node}: {words}", "cyan")))
    for flag in plan.flags_of(0):  # the nodes' own are of one kind on all of them
        if flag.is_environment:
            _draw_flag(console, flag, flag.name, width)
    draw_memory(console, plan)
    for finding in plan.findings:
        style = {"error": "red", "warning": "yellow"}.get(finding.severity, "")
        told = (f"{finding.message}. {finding.fix}", "default")
        console.print(styled((f"{finding.severity} ", style), told))
    for proof in plan.proven:
        mark = ("✔ ", "green") if proof.passed else ("✘ ", "red")
        console.print(styled(mark, (proof.sentence, "default")))


def _draw_flag(console: Console, flag: Flag, name: str, width: int) -> None:
    """One line: the flag with its value, and the reason; cut where the terminal ends."""
    joint = "=" if flag.is_environment else " "
    value = " ".join([flag.value or "", *flag.more]).strip()
    words = one_line(f"{name}{joint}{value}" if value else name)
    space = " " * (max(0, _LONGEST - len(words)) + 1)
    room = width - len(words) - len(space) - 1
    reason = f"you: {flag.reason}" if flag.source == "user" else flag.reason
    why = textwrap.shorten(printable(reason), max(24, room), placeholder=" …")
    style = "bold" if flag.source != "user" else "bold green"
    line = styled((words, style), space, (why, "dim"))
    console.print(line, no_wrap=width < 1000, overflow="ellipsis")


def _engine(plan: Plan) -> str:
    return f"{plan.engine} {plan.release}".strip()


def draw_memory(console: Console, plan: Plan) -> None:
    """One bar of 50 characters for a device: weights by component, KV cache, overhead, free."""
    memory = plan.memory
    parts = [
        ("weights", memory.weights, "█"),
        ("KV cache", memory.kv_cache, "▓"),
        ("overhead", memory.overhead, "▒"),
        ("free", max(0, memory.free), "░"),
    ]
    total = sum(size for _, size, _ in parts) or 1
    bar = "".join(sign * max(bool(size), round(_BAR * size / total)) for _, size, sign in parts)
    legend = "  ".join(f"{sign} {name} {size_text(size)}" for name, size, sign in parts)
    console.print(f"memory {bar} of {size_text(memory.capacity)} a device")
    console.print(f"       {legend}")
    most = _largest(memory.parts)
    if len(most) > 1:
        console.print("       █ " + ", ".join(f"{name} {size_text(size)}" for name, size in most))
    if memory.kv_tokens:
        console.print(f"       ▓ {memory.kv_tokens:,} tokens of KV cache")
    if memory.overhead_source:
        console.print(f"       ▒ {memory.overhead_source}")


def _largest(parts: Any) -> list[tuple[str, int]]:
    found = sorted(parts.items(), key=lambda item: -item[1])
    return [(name, size) for name, size in found if size >= 2**20][:6]
