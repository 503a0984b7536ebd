"""What all commands share: the output options, the settings, looking after dead processes' runs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from qreg.cli.output import HUMAN, JSON, QUIET, Output
from registry.config import Settings
from registry.config import load as load_settings
from registry.errors import UsageError

PORT = click.IntRange(1, 65535)
_RANKS = click.IntRange(1, 4096)
if TYPE_CHECKING:
    from registry.lint import Target
    from registry.resolve import Resolved

F = TypeVar("F", bound=Callable[..., Any])


def command_options(function: F, *, recovering: bool = True, resolving: bool = False) -> F:
    """Add `--json` and `--quiet`; the function gets `output` and `settings` first.

    Args:
        function: the command.
        recovering: whether runs that a killed process left open are closed before it runs.
        resolving: whether it looks names up; adds `--allow-fallback`.
    """

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    @click.option("--quiet", "-q", is_flag=True, help="Print only the essential line.")
    @functools.wraps(function)
    def wrapper(
        *args: Any, as_json: bool, quiet: bool, allow_fallback: bool = False, **kwargs: Any
    ) -> Any:
        settings = load_settings()
        if allow_fallback:
            settings = replace(settings, allow_fallback=True)
        output = Output(JSON if as_json else QUIET if quiet else HUMAN, silent=quiet)
        if recovering:
            _look_after(settings, output)
        return function(output, settings, *args, **kwargs)

    if resolving:
        option = click.option(
            "--allow-fallback",
            is_flag=True,
            help="Take a name from the next source where one before it does not answer.",
        )
        return option(wrapper)  # type: ignore[return-value]
    return wrapper  # type: ignore[return-value]


def resolving_options(function: F) -> F:
    """`command_options` of commands that look names up."""
    return command_options(function, resolving=True)


def find(reference: str, settings: Settings, output: Output) -> Resolved:
    """What a reference names; tells which place is asked, and what was passed over."""
    from registry.resolve import resolve

    with output.progress() as observe:
        return resolve(reference, settings, observe=observe)


def address_options(function: F) -> F:
    """Add where a server listens."""
    host = click.option(
        "--host", default="127.0.0.1", show_default=True, help="Address to listen on."
    )
    port = click.option(
        "--port", default=8000, show_default=True, type=PORT, help="Port to listen on."
    )
    return host(port(function))


def target_options(function: F) -> F:
    """Add what an artifact shall run on: chip, tensor and data parallel sizes."""
    from registry.lint.target import CHIPS

    for decorate in (
        click.option("--data-parallel", "--dp", default=1, type=_RANKS, help="Its DP size."),
        click.option(
            "--tensor-parallel",
            "--tp",
            type=_RANKS,
            help="Its TP size; by default all devices of a node.",
        ),
        click.option(
            "--target",
            "chip",
            type=click.Choice(list(CHIPS), case_sensitive=False),
            help="The NPU that it shall run on; by default any.",
        ),
    ):
        function = decorate(function)
    return function


def target_of(chip: str | None, tensor_parallel: int | None, data_parallel: int) -> Target:
    """The target that `target_options` name."""
    from registry.lint.target import CHIPS, Target

    return Target(CHIPS[chip] if chip else None, tensor_parallel, data_parallel)


def require_new_file(html: Path, folder: Path | None) -> None:
    """Refuse a report that would replace a file or change an artifact, before any work.

    Args:
        html: where it shall be written.
        folder: the artifact's, if it is on this machine.

    Raises:
        UsageError: it is there already, its folder is not, or it lies inside the artifact.
    """
    if html.exists():
        raise UsageError(f"{html} exists already", remedy="Name a new file for the report.")
    if not html.absolute().parent.is_dir():
        raise UsageError(f"{html.parent} is no folder", remedy="Make it, or name another.")
    if folder is not None and html.absolute().resolve().is_relative_to(folder.resolve()):
        raise UsageError(
            f"{html} lies inside the artifact", remedy="Name a file outside of what it describes."
        )


def _look_after(settings: Settings, output: Output) -> None:
    if not settings.activities.is_dir():
        return
    from registry.tracking.recovery import recover

    done = recover(settings)
    if done.sent:
        output.note(f"Sent {done.sent} earlier record(s) to MLflow.")
    if done.waiting and done.trouble:
        output.note(f"{done.waiting} record(s) wait for MLflow: {done.trouble}")
    tell_left(done.left, output)


def tell_left(paths: Iterable[Path], output: Output) -> None:
    """Say what dead processes left half made and what may be another's."""
    for path in paths:
        output.note(
            f"{path} was left by a process that died, and may be another's by now: remove it "
            "yourself if nothing writes to it.",
            warning=True,
        )
