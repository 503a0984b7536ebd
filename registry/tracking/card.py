"""The description of a build, in markdown, for people who find it in MLflow."""

from __future__ import annotations

from registry.artifact import Manifest
from registry.claims import CLAIMED, WHY, extent, figures, mapping, section
from registry.markdown import cell
from registry.names import printable


def write_card(manifest: Manifest, reference: str) -> str:
    """A first plain line that reads well in lists, then tables of facts and schemes.

    What no one can derive from the files is marked as claimed.
    """
    quantization, provenance = manifest.quantization, manifest.provenance
    base, tool = section(provenance, "base"), section(provenance, "tool")
    recipe = section(provenance, "recipe")
    rows = {
        "base": (base.get("name"), base.get("digest")),
        "tool": (tool.get("name"), tool.get("version")),
        "recipe": (recipe.get("name"),),
        **{name: (f"{value:.4f}",) for name, value in figures(provenance).items()},
        **({"measured on": (extent(provenance),)} if extent(provenance) else {}),
    }
    lines = [
        f"{manifest.name}: {cell(quantization.get('scheme', 'FLOAT'))} "
        f"({cell(quantization.get('method', 'none'))}), {manifest.size / 2**30:.2f} GiB, "
        f"{manifest.digest.short}",
        "",
        "| | |",
        "|---|---|",
        f"| digest | `{manifest.digest}` |",
        f"| weights | {_code(reference)} |",
        *(f"| {cell(name)} | {_claimed(values)} |" for name, values in rows.items()),
        "",
        f"{CLAIMED.capitalize()}: {WHY}.",
        "",
        "| layers | schemes |",
        "|---|---|",
    ]
    for kind, schemes in section(quantization, "schemes").items():
        text = ", ".join(f"{scheme} × {count}" for scheme, count in mapping(schemes).items())
        lines.append(f"| {cell(kind)} | {cell(text)} |")
    lines += ["", "Serve it:", "", f"    qreg serve {manifest.name}@{manifest.digest}", ""]
    return printable("\n".join(lines))


def _claimed(values: tuple[object, ...]) -> str:
    told = " ".join(cell(value) for value in values if value)
    return f"{told} ({CLAIMED})" if told else "unknown"


def _code(text: str) -> str:
    """Text as code; a path may hold what ends it, and then it is plain text."""
    return cell(text) if set(text) & set("`|\n") else f"`{text}`"
