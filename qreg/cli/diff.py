"""`qreg diff`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from qreg.cli.common import find, resolving_options
from qreg.cli.output import Output, size_text, styled
from registry.config import Settings

if TYPE_CHECKING:
    from rich.console import Console

    from registry.diff import Changes, Difference

MOST = 15  # lines a section on the terminal; --json has them all


@click.command("diff")
@click.argument("left")
@click.argument("right")
@resolving_options
def command(output: Output, settings: Settings, left: str, right: str) -> None:
    """Show how RIGHT differs from LEFT: files, schemes, tensors, config, footprint.

    Both may be folders or names; only metadata is read. Ends with exit code 0 either way.
    """
    from registry.checkpoint import open_checkpoint
    from registry.checkpoint.facts import read_facts
    from registry.diff import Side, diff
    from registry.listing import known_contents

    sides = [find(reference, settings, output) for reference in (left, right)]
    found = diff(
        *(Side(read_facts(open_checkpoint(s.source)), known_contents(s.source)) for s in sides)
    )
    document = {"left": sides[0].reference, "right": sides[1].reference, **found.to_json()}
    output.result(
        document,
        lambda console: _draw(console, found),
        essential="different" if found else "unknown" if found.uncompared else "equal",
    )


def _draw(console: Console, found: Difference) -> None:
    if not found and not found.uncompared:
        console.print("No difference: the same files with the same contents.")
        return
    if found.uncompared:
        count = len(found.uncompared)
        console.print(f"Contents of {count} file(s) not compared, such as {found.uncompared[0]}:")
        console.print("publish both sides, or verify them, to know.")
    _section(console, "schemes", found.schemes, str)
    _section(console, "config.json", found.config, repr)
    _section(console, "footprint", found.footprint, lambda n: f"{n:,}")
    _tensors(console, found.tensors)
    _section(
        console, "files", found.files, lambda n: size_text(n) if isinstance(n, int) else n[:12]
    )


def _section(console: Console, title: str, changes: Changes, show: Any) -> None:
    lines = [f"- {key}  {show(value)}" for key, value in changes.removed.items()]
    lines += [f"+ {key}  {show(value)}" for key, value in changes.added.items()]
    lines += [f"~ {key}  {show(a)} → {show(b)}" for key, (a, b) in changes.changed.items()]
    _print(console, title, lines)


def _tensors(console: Console, changes: Changes) -> None:
    """Tensors by kind: a model has hundreds of thousands of them."""
    from registry.diff import by_kind

    lines = []
    for mark, names in (("-", changes.removed), ("+", changes.added)):
        for kind, (count, value) in by_kind(names).items():
            lines.append(f"{mark} {kind}  × {count}  {value}")
    for kind, (count, pair) in by_kind(changes.changed).items():
        lines.append(f"~ {kind}  × {count}  {pair[0]} → {pair[1]}")
    _print(console, "tensors", lines)


def _print(console: Console, title: str, lines: list[str]) -> None:
    if not lines:
        return
    styles = {"-": "red", "+": "green", "~": "yellow"}
    console.print(styled((title, "bold")))
    for line in lines[:MOST]:
        console.print(styled((f"  {line}", styles[line[0]])))
    if len(lines) > MOST:
        console.print(f"  … {len(lines) - MOST} more; --json has them all")
