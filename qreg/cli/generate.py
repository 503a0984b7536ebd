"""`qreg generate`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from qreg.cli.common import resolving_options
from qreg.cli.output import Output
from qreg.cli.planning import Planning, planning_options, prepare
from registry.config import Settings

if TYPE_CHECKING:
    from rich.console import Console


@click.command("generate")
@click.argument("reference")
@click.option("--prompt", "prompts", multiple=True, required=True, help="May be repeated.")
@click.option(
    "--max-tokens",
    default=64,
    show_default=True,
    type=click.IntRange(min=1),
    help="Of each answer.",
)
@click.option(
    "--temperature",
    default=0.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="0 decodes greedily.",
)
@planning_options
@resolving_options
def command(
    output: Output,
    settings: Settings,
    reference: str,
    prompts: tuple[str, ...],
    max_tokens: int,
    temperature: float,
    planning: Planning,
) -> None:
    """Answer prompts with REFERENCE offline, through the engine's `LLM` class."""
    from serving.generate import generate

    with output.progress() as observe:
        plan = prepare(planning, reference, settings, observe)
        answers = generate(
            plan,
            list(prompts),
            settings,
            max_tokens=max_tokens,
            temperature=temperature,
            observe=observe,
        )
    document = {
        "artifact": plan.artifact,
        "digest": plan.digest,
        "generations": [asdict(answer) for answer in answers],
    }

    def human(console: Console) -> None:
        for answer in answers:
            console.print(answer.prompt, style="bold")
            console.print(answer.answer.strip())

    output.result(document, human, essential="\n".join(a.answer for a in answers), verbatim=True)
