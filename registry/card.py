"""The model card of an artifact: README.md with the front matter that hubs read."""

from __future__ import annotations

import re
from typing import Any

from registry.artifact import Manifest
from registry.claims import CLAIMED, WHY, extent, figures, mapping, section
from registry.errors import UsageError
from registry.markdown import cell
from registry.names import check_name, printable

CARD_FILE = "README.md"
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}\Z")


def model_card(manifest: Manifest, *, license: str = "") -> bytes:
    """Write the card of an artifact that has none of its own.

    It says nothing of the time or place of its making, so that the same artifact has the same
    card wherever it is published from. What no one can derive from the files is marked as claimed.

    Args:
        manifest: of the artifact.
        license: an identifier that hubs know, such as `apache-2.0`; empty if it is not known.

    Returns:
        Markdown with YAML front matter (Hugging Face's model card metadata; ModelScope reads it
        too): base_model, base_model_relation, license, tags.
    """
    import yaml

    quantization, architecture = manifest.quantization, manifest.architecture
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
        f"| format | {cell(method)} {cell(quantization.get('format', ''))} |".replace("  ", " "),
        f"| architecture | {cell(architecture.get('model_type') or 'unknown')} |",
        f"| weights | {_number(manifest, 'weights') / 2**30:.2f} GiB |",
        f"| parameters | {_number(manifest, 'parameters'):,} |",
        *_made_by(manifest),
        *(["", f"{CLAIMED.capitalize()}: {WHY}."] if base or _made_by(manifest) else []),
        "",
        "## Quantization",
        "",
        "| layers | schemes |",
        "|---|---|",
    ]
    for kind, schemes in section(quantization, "schemes").items():
        told = ", ".join(f"{name} × {count}" for name, count in mapping(schemes).items())
        lines.append(f"| {cell(kind)} | {cell(told)} |")
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
    return printable("\n".join(lines)).encode()


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
        return f"An unquantized checkpoint{f' of {base} ({CLAIMED})' if base else ''}."
    return f"{f'{base} ({CLAIMED})' if base else 'A model'} quantized to {cell(scheme)}."


def _number(manifest: Manifest, key: str) -> int:
    found = manifest.footprint.get(key, 0)
    return found if isinstance(found, int) else 0


def _made_by(manifest: Manifest) -> list[str]:
    rows = []
    tool, recipe = section(manifest.provenance, "tool"), section(manifest.provenance, "recipe")
    if tool.get("name"):
        what = f"{cell(tool['name'])} {cell(tool.get('version', ''))}".rstrip()
        rows.append(f"| tool | {what} ({CLAIMED}) |")
    if recipe.get("name"):
        rows.append(f"| recipe | {cell(recipe['name'])} ({CLAIMED}) |")
    for name, value in figures(manifest.provenance).items():
        rows.append(f"| {cell(name)} | {value:.4f} ({CLAIMED}) |")
    if extent(manifest.provenance):
        rows.append(f"| measured on | {extent(manifest.provenance)} ({CLAIMED}) |")
    return rows


def _base(manifest: Manifest) -> str:
    """The base model's ORG/NAME, if that is known; a folder's name is no use to a hub."""
    try:
        return check_name(str(section(manifest.provenance, "base").get("name", "")))
    except UsageError:
        return ""
