"""The description of a build, in markdown, for people who find it in MLflow."""

from __future__ import annotations

from registry.artifact import Manifest
from registry.claims import number, section


def write_card(manifest: Manifest, reference: str) -> str:
    """A first plain line that reads well in lists, then tables of facts and schemes."""
    quantization, provenance = manifest.quantization, manifest.provenance
    base, tool = section(provenance, "base"), section(provenance, "tool")
    lines = [
        f"{manifest.name}: {quantization.get('scheme', 'FLOAT')} "
        f"({quantization.get('method', 'none')}), {manifest.size / 2**30:.2f} GiB, "
        f"{manifest.digest.short}",
        "",
        "| | |",
        "|---|---|",
        f"| digest | `{manifest.digest}` |",
        f"| weights | `{reference}` |",
        f"| base | {base.get('name', 'unknown')} `{base.get('digest', '')}` |",
        f"| tool | {tool.get('name', 'unknown')} {tool.get('version', '')} |",
        f"| recipe | {section(provenance, 'recipe').get('name', 'unknown')} |",
    ]
    for name, value in section(provenance, "quality").items():
        shown = number(value)
        if shown is not None:
            lines.append(f"| {name} | {shown:.4f} |")
    lines += ["", "| layers | schemes |", "|---|---|"]
    for kind, schemes in section(quantization, "schemes").items():
        text = ", ".join(f"{scheme} × {count}" for scheme, count in section(schemes).items())
        lines.append(f"| {kind} | {text} |")
    lines += ["", "Serve it:", "", f"    qreg serve {manifest.name}@{manifest.digest}", ""]
    return "\n".join(lines)
