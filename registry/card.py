"""The model card of an artifact: README.md with the front matter that hubs read."""

from __future__ import annotations

import re
from typing import Any

from registry.artifact import Manifest
from registry.claims import number, section
from registry.errors import UsageError
from registry.names import check_name, one_line

CARD_FILE = "README.md"
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}\Z")


def model_card(manifest: Manifest, *, license: str = "") -> bytes:
    """Write the card of an artifact that has none of its own.

    It says nothing of the time or place of its making, so that the same artifact has the same
    card wherever it is published from.

    Args:
        manifest: of the artifact.
        license: an identifier that hubs know, such as `apache-2.0`; empty if it is not known.

    Returns:
        Markdown with YAML front matter (Hugging Face's model card metadata; ModelScope reads it
        too): base_model, base_model_relation, license, tags.
    """
    import yaml

    quantization, architecture = manifest.quantization, manifest.architecture
    footprint = manifest.footprint
    method, scheme = (
        str(quantization.get("method", "none")),
        str(quantization.get("scheme", "FLOAT")),
    )
    base = _base(manifest)
    front: dict[str, Any] = {}
    if license:
        front["license"] = license
    if base:
        front["base_model"] = base
        front["base_model_relation"] = "quantized" if method != "none" else "finetune"
    front["library_name"] = "vllm"
    front["pipeline_tag"] = "text-generation"
    quantized = ["quantized", method, scheme.lower()] if method != "none" else []
    front["tags"] = [*quantized, "vllm", "vllm-ascend", "qreg"]
    short = manifest.name.rpartition("/")[2]
    lines = [
        "---",
        yaml.safe_dump(front, sort_keys=False, allow_unicode=True).rstrip(),
        "---",
        "",
        f"# {short}",
        "",
        _summary(manifest, base),
        "",
        "| | |",
        "|---|---|",
        f"| digest | `{manifest.digest}` |",
        f"| format | {method} {quantization.get('format', '')} |".replace("  ", " "),
        f"| architecture | {_cell(architecture.get('model_type') or 'unknown')} |",
        f"| weights | {(number(footprint.get('weights')) or 0) / 2**30:.2f} GiB |",
        f"| parameters | {number(footprint.get('parameters')) or 0:,.0f} |",
        *_made_by(manifest),
        "",
        "## Quantization",
        "",
        "| layers | schemes |",
        "|---|---|",
    ]
    for kind, schemes in section(quantization, "schemes").items():
        told = ", ".join(f"{name} × {count}" for name, count in section(schemes).items())
        lines.append(f"| {_cell(kind)} | {_cell(told)} |")
    lines += [
        "",
        "## Serve",
        "",
        "```",
        f"qreg pull {manifest.name}@{manifest.digest}",
        f"qreg serve {manifest.name}@{manifest.digest}",
        "```",
        "",
        "`qreg.json` lists every file with its sha256; `qreg verify` compares them.",
        "",
    ]
    return "\n".join(lines).encode(errors="replace")


def check_license(text: str) -> str:
    """Return `text` if it can be a license's identifier; raises UsageError."""
    if text and not _LICENSE.match(text):
        raise UsageError(
            f"{text!r} is no identifier of a license",
            remedy="Write it as hubs do: apache-2.0, mit, llama3.1, other.",
        )
    return text


def _summary(manifest: Manifest, base: str) -> str:
    scheme = manifest.quantization.get("scheme", "FLOAT")
    if manifest.quantization.get("method", "none") == "none":
        return f"An unquantized checkpoint{f' of {base}' if base else ''}."
    return f"{base or 'A model'} quantized to {_cell(scheme)}."


def _made_by(manifest: Manifest) -> list[str]:
    rows = []
    tool = manifest.provenance.get("tool", {})
    recipe = manifest.provenance.get("recipe", {})
    if isinstance(tool, dict) and tool.get("name"):
        rows.append(f"| tool | {_cell(tool['name'])} {_cell(tool.get('version', ''))} |")
    if isinstance(recipe, dict) and recipe.get("name"):
        rows.append(f"| recipe | {_cell(recipe['name'])} |")
    quality = manifest.provenance.get("quality", {})
    for name, value in quality.items() if isinstance(quality, dict) else ():
        shown = number(value)
        if shown is not None:
            rows.append(f"| {_cell(name)} | {shown:.4f} |")
    return rows


def _base(manifest: Manifest) -> str:
    """The base model's ORG/NAME, if that is known; a folder's name is no use to a hub."""
    base = manifest.provenance.get("base", {})
    name = base.get("name", "") if isinstance(base, dict) else ""
    try:
        return check_name(str(name))
    except UsageError:
        return ""


def _cell(text: Any) -> str:
    return one_line(str(text)).replace("|", "\\|").replace("<", "&lt;")
