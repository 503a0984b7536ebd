"""`qreg inspect`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from qreg.cli.common import command_options
from qreg.cli.output import Output, size_text
from registry.config import Settings

if TYPE_CHECKING:
    from rich.console import Console

    from registry.artifact import Manifest


@click.command("inspect")
@click.argument("reference")
@command_options
def command(output: Output, settings: Settings, reference: str) -> None:
    """Show what REFERENCE is: architecture, schemes, footprint, where it comes from."""
    from registry.resolve import resolve

    resolved = resolve(reference, settings)
    with output.progress() as observe:
        manifest = resolved.manifest(observe)
    output.result(
        manifest.to_json(),
        lambda console: _draw(console, manifest),
        essential=str(manifest.digest),
    )


def _draw(console: Console, manifest: Manifest) -> None:
    from rich.table import Table

    architecture, provenance = manifest.architecture, manifest.provenance
    console.print(f"{manifest.name}")
    facts = Table.grid(padding=(0, 2))
    facts.add_row("digest", str(manifest.digest))
    facts.add_row("files", f"{len(manifest.files)}, {size_text(manifest.size)}")
    facts.add_row("model", _model_line(architecture))
    facts.add_row("quantization", f"{manifest.quantization.get('method', 'none')}")
    base = provenance.get("base", {})
    if base:
        facts.add_row("base", f"{base.get('name')}  {base.get('digest')}")
    tool = provenance.get("tool", {})
    if tool:
        recipe = provenance.get("recipe", {}).get("name")
        facts.add_row("made by", f"{tool.get('name')} {tool.get('version')}, recipe {recipe}")
    for key, value in provenance.get("quality", {}).items():
        facts.add_row(key.replace("_", " "), f"{value:.4f}")
    console.print(facts)
    schemes = manifest.quantization.get("schemes", {})
    if schemes:
        table = Table(box=None, header_style="bold", pad_edge=False)
        table.add_column("layers")
        table.add_column("schemes")
        for kind, counts in schemes.items():
            table.add_row(kind, ", ".join(f"{s} × {n}" for s, n in counts.items()))
        console.print(table)
    _bars(console, manifest.footprint.get("by_component", {}))


def _model_line(architecture: Mapping[str, Any]) -> str:
    parts = [
        architecture.get("model_type") or "unknown type",
        f"{architecture.get('layers')} layers",
        f"hidden {architecture.get('hidden_size')}",
        f"{architecture.get('heads')} heads ({architecture.get('kv_heads')} KV)",
    ]
    if architecture.get("experts"):
        active = architecture.get("experts_per_token")
        parts.append(f"{architecture['experts']} experts, {active} active")
    parts.append(f"{architecture.get('max_positions')} positions")
    return ", ".join(parts)


def _bars(console: Console, components: Mapping[str, int]) -> None:
    largest = max(components.values(), default=0)
    for name, size in components.items():
        bar = "█" * max(1, round(30 * size / largest)) if largest else ""
        console.print(f"{name:<20} {bar:<30} {size_text(size)}")
