"""`qreg generate`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qreg.cli.common import resolving_options
from qreg.cli.output import Output
from qreg.cli.planning import Planning, planning_options, prepare
from registry.config import Settings
from registry.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console


@click.command("generate")
@click.argument("reference")
@click.option("--prompt", "texts", multiple=True, help="A text; may be repeated.")
@click.option(
    "--prompts",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help='A file with more: a prompt a line, or JSON or JSONL of texts, {"prompt": …} or '
    '{"messages": […]}.',
)
@click.option("--raw", is_flag=True, help="Complete the text as it is, without the chat template.")
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
@click.option(
    "--top-p",
    type=click.FloatRange(min=0, max=1, min_open=True),
    help="Draw from the most likely tokens that together have this probability.",
)
@click.option(
    "--top-k",
    type=click.IntRange(min=1),
    help="Draw from this many of the most likely tokens.",
)
@planning_options
@resolving_options
def command(
    output: Output,
    settings: Settings,
    reference: str,
    texts: tuple[str, ...],
    file: Path | None,
    raw: bool,
    max_tokens: int,
    temperature: float,
    top_p: float | None,
    top_k: int | None,
    planning: Planning,
) -> None:
    """Answer prompts with REFERENCE offline, through the engine's `LLM` class.

    \b
    qreg generate org/Qwen3-8B-W8A8 --prompt "What is a digest?"
    qreg generate org/Qwen3-8B-W8A8 --raw --prompt "The future of AI is" \\
        --temperature 0.6 --top-p 0.95 --top-k 40
    """
    from serving.generate import generate
    from serving.prompts import Prompt, read_prompts

    prompts: list[Prompt] = [*texts, *(read_prompts(file) if file else ())]
    if not prompts:
        raise UsageError(
            "There is no prompt to answer", remedy="Give --prompt TEXT or --prompts FILE."
        )
    with output.progress() as observe:
        plan = prepare(planning, reference, settings, observe)
        answers = generate(
            plan,
            prompts,
            settings,
            raw=raw,
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            observe=observe,
        )
    document = {
        "artifact": plan.artifact,
        "digest": plan.digest,
        "generations": [asdict(answer) for answer in answers],
    }

    def human(console: Console) -> None:
        for answer in answers:
            asked = answer.prompt
            shown = asked if isinstance(asked, str) else str(asked[-1]["content"])
            console.print(shown, style="bold")
            console.print(answer.answer.strip())

    output.result(document, human, essential="\n".join(a.answer for a in answers), verbatim=True)
