"""`qreg hardware`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from qreg.cli.common import command_options
from qreg.cli.output import Output, size_text
from registry.config import Settings

if TYPE_CHECKING:
    from rich.console import Console

    from serving.hardware import Abilities, Hardware
    from serving.releases import Release


@click.command("hardware")
@click.option("--hardware", "wanted", default="", help="Show this profile instead of detecting.")
@click.option("--nodes", default=1, show_default=True, help="How many of them.")
@click.option("--devices", default="", help="Which devices of each node: 0-7 or 0,2,4.")
@click.option("--release", "number", default="", help="Of vLLM Ascend; default: the newest known.")
@click.option("--all", "every", is_flag=True, help="Show every profile that qreg knows.")
@command_options
def command(
    output: Output,
    settings: Settings,
    wanted: str,
    nodes: int,
    devices: str,
    number: str,
    every: bool,
) -> int:
    """Show what this machine has, and what it and the known profiles can run.

    On NPUs that depends on the release of vLLM Ascend.
    """
    from registry.errors import IncompatibleError
    from serving.hardware import Detected, detect, narrow, parse_hardware, profiles
    from serving.releases import latest, open_release

    release = open_release(number) if number else latest()
    if wanted:
        found = Detected(parse_hardware(wanted, nodes=nodes, devices=devices))
    else:
        found = detect(settings)
        found = Detected(narrow(found.hardware, nodes=nodes, devices=devices), found.findings)
    rows = profiles() if every else ()
    document = {
        "hardware": _document(found.hardware, release),
        "findings": [asdict(finding) for finding in found.findings],
        "profiles": [_document(row, release) for row in rows],
        # Of vLLM Ascend: it says nothing of other hardware.
        "release": release.number if found.hardware.kind == "npu" or every else None,
    }

    def human(console: Console) -> None:
        _draw(console, found.hardware, release)
        for finding in found.findings:
            mark = "note" if finding.severity == "info" else finding.severity
            console.print(f"{mark} {finding.message}. {finding.fix}")
        if rows:
            _draw_profiles(console, rows, release)
        else:
            console.print("See `qreg hardware --all` for the profiles that --hardware can name.")

    output.result(document, human, essential=found.hardware.name)
    hidden = any(finding.severity == "error" for finding in found.findings)
    return IncompatibleError.exit_code if hidden else 0


def _document(hardware: Hardware, release: Release) -> dict[str, Any]:
    from serving.hardware import abilities

    found = abilities(hardware, release)
    return {
        **asdict(hardware),
        "device_numbers": list(hardware.device_numbers),
        "methods": list(found.methods),
        "schemes": found.schemes,
        "image": f":v{release.package}{hardware.image_suffix}" if hardware.kind == "npu" else None,
    }


def _draw(console: Console, hardware: Hardware, release: Release) -> None:
    from serving.hardware import abilities
    from serving.hardware.profile import number_text

    found = abilities(hardware, release)
    what = f", {hardware.product}" if hardware.product else ""
    console.print(f"hardware  {hardware.name}{what}")
    nodes = f"{hardware.nodes} nodes with " if hardware.nodes > 1 else ""
    console.print(
        f"devices   {nodes}{hardware.devices} × {size_text(hardware.memory)}, "
        f"numbers {number_text(hardware.device_numbers)}"
    )
    if hardware.cores:
        console.print(f"cores     {hardware.cores}")
    console.print(f"dtypes    {', '.join(found.dtypes)}")
    console.print(f"methods   {', '.join(found.methods)}")
    of = f" (vLLM Ascend {found.release})" if found.release else ""
    for method, kinds in found.schemes.items():
        console.print(f"schemes   {method}{of}")
        for kind, names in kinds.items():
            console.print(f"          {kind:<10}{', '.join(names) or '-'}")


def _draw_profiles(console: Console, rows: tuple[Hardware, ...], release: Release) -> None:
    from rich.table import Table

    from serving.hardware import abilities

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("profile", "devices", "memory of each", "linear", "moe", "what it is"):
        table.add_column(column, no_wrap=column in ("profile", "devices"))
    for row in rows:
        kinds = _best(abilities(row, release))
        table.add_row(
            row.name,
            str(row.devices),
            size_text(row.memory),
            str(len(kinds.get("linear", ()))),
            str(len(kinds.get("moe", ()))),
            row.product,
        )
    console.print(table)
    console.print("linear, moe: how many schemes it can run; --hardware NAME lists them.")


def _best(found: Abilities) -> dict[str, tuple[str, ...]]:
    """The schemes of all methods together."""
    kinds: dict[str, tuple[str, ...]] = {}
    for method in found.schemes.values():
        for kind, names in method.items():
            kinds[kind] = tuple(sorted({*kinds.get(kind, ()), *names}))
    return kinds
