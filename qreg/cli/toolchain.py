"""`qreg toolchain list | install | use | show | remove`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qreg.cli.common import command_options
from qreg.cli.output import Output
from registry.config import Settings

if TYPE_CHECKING:
    from rich.console import Console

    from toolchains import Toolchain


@click.group("toolchain")
def command() -> None:
    """Manage the isolated environments that quantizers and engines run in."""


@command.command("list")
@command_options
def list_(output: Output, settings: Settings) -> None:
    """List the known toolchains and whether this machine has them."""
    from toolchains.status import all_statuses

    rows = [status.to_json() for status in all_statuses(settings)]

    def human(console: Console) -> None:
        from rich.table import Table

        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in ("name", "state", "version", "what it is"):
            table.add_column(column)
        for row in rows:
            table.add_row(row["name"], row["state"], row["version"], row["summary"])
        console.print(table)
        for row in rows:
            if row["problem"]:
                console.print(f"{row['name']}: {row['problem']}")

    usable = [row["name"] for row in rows if row["version"]]
    output.result({"toolchains": rows}, human, essential="\n".join(usable) or None)


@command.command("install")
@click.argument("name")
@click.option("--python", type=click.Path(path_type=Path), help="The interpreter to build on.")
@command_options
def install(output: Output, settings: Settings, name: str, python: Path | None) -> None:
    """Install toolchain NAME from its lock file, with pip and your pip configuration."""
    from toolchains.install import install_toolchain

    with output.progress() as observe:
        toolchain = install_toolchain(name, settings, python=python, observe=observe)
    _show(output, toolchain, "installed")


@command.command("use")
@click.argument("name")
@click.option("--python", type=click.Path(path_type=Path), required=True, help="Its interpreter.")
@command_options
def use(output: Output, settings: Settings, name: str, python: Path) -> None:
    """Take an environment of your own for toolchain NAME, after importing the tool in it."""
    from toolchains.installed import use_interpreter

    with output.progress() as observe:
        toolchain = use_interpreter(name, python, settings, observe)
    _show(output, toolchain, "in use")


@command.command("show")
@click.argument("name")
@click.option("--packages", is_flag=True, help="And the version of every package.")
@command_options
def show(output: Output, settings: Settings, name: str, packages: bool) -> None:
    """Show the interpreter and the lock of toolchain NAME."""
    from toolchains import find_toolchain

    _show(output, find_toolchain(name, settings), "ready", packages=packages)


@command.command("remove")
@click.argument("name")
@command_options
def remove(output: Output, settings: Settings, name: str) -> None:
    """Delete what qreg installed of toolchain NAME; an environment of yours is only forgotten."""
    from toolchains.installed import remove_toolchain

    removed = [str(path) for path in remove_toolchain(name, settings)]

    def human(console: Console) -> None:
        for path in removed:
            console.print(f"removed {path}")
        if not removed:
            console.print(f"{name} was not installed; nothing to remove")

    output.result({"name": name, "removed": removed}, human)


def _show(output: Output, toolchain: Toolchain, state: str, *, packages: bool = False) -> None:
    document: dict[str, Any] = {
        "name": toolchain.name,
        "state": state,
        "version": toolchain.version,
        "python": str(toolchain.python),
        "lock_digest": toolchain.lock_digest,
        "versions": toolchain.versions,
    }

    def human(console: Console) -> None:
        console.print(f"{toolchain.name} {toolchain.version} {state}")
        console.print(f"python  {toolchain.python}")
        lock = f"sha256:{toolchain.lock_digest}" if toolchain.lock_digest else "an own environment"
        console.print(f"lock    {lock}")
        if packages:
            for name, version in sorted(toolchain.versions.items(), key=lambda i: i[0].lower()):
                console.print(f"        {name} {version}")

    output.result(document, human, essential=str(toolchain.python))
