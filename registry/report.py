"""What is known of an artifact, for people: facts in words, and a page of HTML of its own."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from registry.checkpoint.architecture import Architecture
from registry.claims import CLAIMED, WHY, claim, extent, figures, plain, section
from registry.inspection import Inspection
from registry.names import one_line
from registry.page import colour, page, table


def facts_of(found: Inspection) -> dict[str, str]:
    """The facts that stand at the head of a page, in words."""
    quantization, footprint = found.facts.quantization, found.facts.footprint
    checkpoint = found.facts.checkpoint
    digest = str(found.digest) if found.digest else "not known; --digest reads and hashes all"
    facts = {
        "digest": claim(digest) if found.claimed and found.digest else digest,
        "where": found.reference,
        "files": f"{len(checkpoint.files)}, {_size(sum(checkpoint.files.values()))}; "
        f"{len(checkpoint.shards)} shard(s), {len(checkpoint.tensors):,} tensors",
        "model": _model(found.facts.architecture),
        "attention": _attention(found.facts.architecture),
        "weights": f"{_size(footprint['weights'])}, {footprint['parameters']:,} parameters",
        "quantization": _quantization(found),
    }
    if quantization.ignored:
        shown = ", ".join(quantization.ignored[:6])
        more = len(quantization.ignored) - 6
        facts["left float"] = shown + (f" and {more} more" if more > 0 else "")
    words = {key: one_line(value) for key, value in facts.items() if value}
    # No claim takes the place of a fact.
    words |= {key: value for key, value in _provenance(found).items() if key not in facts}
    if any(value.endswith(f"({CLAIMED})") for value in (found.title, *words.values())):
        words[CLAIMED] = WHY
    return words


def html_report(found: Inspection) -> str:
    """One page of HTML with everything in it: no scripts, no links to load."""
    footprint = found.facts.footprint
    parts = [
        table((key, escape(value)) for key, value in facts_of(found).items()),
        "<h2>Footprint</h2>",
        _stack(footprint["by_component"]),
        _footprint_table(footprint),
        "<h2>Element types</h2>",
        _stack(footprint["by_dtype"]),
        _legend(footprint["by_dtype"], footprint["parameters_by_dtype"]),
        "<h2>Schemes</h2>",
        table(
            (kind, ", ".join(f"{escape(s)} × {n:,}" for s, n in counts.items()))
            for kind, counts in found.facts.quantization.schemes.items()
        ),
        "<h2>Findings</h2>",
        _findings(found),
    ]
    return page(found.title, parts)


def _model(architecture: Architecture) -> str:
    parts = [architecture.family or f"unknown type {architecture.model_type!r}"]
    for value, text in (
        (architecture.layers, "{:,} layers"),
        (architecture.hidden_size, "hidden {:,}"),
        (architecture.vocab_size, "vocabulary {:,}"),
        (architecture.max_positions, "{:,} positions"),
    ):
        if value:
            parts.append(text.format(value))
    if architecture.experts:
        active = architecture.experts_per_token
        text = f"{architecture.experts} experts" + (f", {active} active" if active else "")
        shared = architecture.shared_experts
        parts.append(text + (f", {shared} shared" if shared else ""))
    if architecture.mtp_layers:
        parts.append(f"{architecture.mtp_layers} MTP layer(s)")
    if architecture.rope_scaling:
        factor = architecture.rope_scaling.get("factor")
        kind = architecture.rope_scaling["rope_type"]
        parts.append(f"RoPE {kind}" + (f" × {factor}" if factor else ""))
    parts += [architecture.dtype] if architecture.dtype else []
    parts += ["vision"] if architecture.vision else []
    parts += ["remote code"] if architecture.remote_code else []
    return ", ".join(parts)


def _attention(architecture: Architecture) -> str:
    parts = []
    if architecture.heads:
        parts.append(f"{architecture.heads} heads")
    if architecture.attention == "mla":
        rope = architecture.rope_head_dim
        parts.append(f"MLA, latent {architecture.kv_lora_rank} + {rope}")
    elif architecture.kv_heads:
        parts.append(f"{architecture.kv_heads} KV heads of {architecture.head_dim}")
    kinds = architecture.layer_types
    if len(kinds) > 1:
        parts.append(", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in kinds.items()))
    return ", ".join(parts)


def _quantization(found: Inspection) -> str:
    quantization = found.facts.quantization
    if quantization.method == "none":
        return "none"
    parts = [quantization.method + (f" ({quantization.format})" if quantization.format else "")]
    if quantization.group_size:
        parts.append(f"groups of {quantization.group_size}")
    symmetric = quantization.symmetric.get("weights")
    if symmetric is not None:
        parts.append("symmetric" if symmetric else "asymmetric")
    parts += ["rotated"] if quantization.rotated else []
    return ", ".join(parts)


def _provenance(found: Inspection) -> dict[str, str]:
    provenance = found.manifest.provenance if found.manifest else {}
    facts = {}
    base, tool = section(provenance, "base"), section(provenance, "tool")
    if base:
        facts["base"] = claim(f"{plain(base.get('name'))}  {plain(base.get('digest'))}")
    if tool:
        recipe = plain(section(provenance, "recipe").get("name"))
        made_by = f"{plain(tool.get('name'))} {plain(tool.get('version'))}"
        facts["made by"] = claim(made_by + (f", recipe {recipe}" if recipe else ""))
    derived = section(provenance, "derived_from")
    if derived:
        name, digest = plain(derived.get("name")), plain(derived.get("digest"))
        facts["derived from"] = claim(f"{name}  {digest}")
    for key, value in figures(provenance).items():
        facts.setdefault(key.replace("_", " "), claim(f"{value:.4f}"))
    if extent(provenance):
        facts["measured on"] = claim(extent(provenance))
    return facts


def _stack(sizes: Mapping[str, int]) -> str:
    """One bar, its parts as wide as their share."""
    total, left, parts = sum(sizes.values()), 0.0, []
    for number, (name, size) in enumerate(sizes.items()):
        width = 1000 * size / total if total else 0
        parts.append(
            f'<rect x="{left:.2f}" y="0" width="{width:.2f}" height="40" fill="{colour(number)}">'
            f"<title>{escape(name)}: {_size(size)}</title></rect>"
        )
        left += width
    picture = "".join(parts)
    return f'<svg viewBox="0 0 1000 40" preserveAspectRatio="none" role="img">{picture}</svg>'


def _footprint_table(footprint: Mapping[str, Any]) -> str:
    return _legend(footprint["by_component"], footprint["parameters_by_component"])


def _legend(sizes: Mapping[str, int], parameters: Mapping[str, int]) -> str:
    total = sum(sizes.values())
    rows = "".join(
        f'<tr><td><span class="key" style="background:{colour(number)}"></span>{escape(name)}</td>'
        f'<td class="number">{_size(size)}</td>'
        f'<td class="number">{100 * size / total if total else 0:.1f} %</td>'
        f'<td class="number">{parameters.get(name, 0):,}</td></tr>'
        for number, (name, size) in enumerate(sizes.items())
    )
    head = "<tr><th></th><th>size</th><th>share</th><th>parameters</th></tr>"
    return f"<table>{head}{rows}</table>"


def _findings(found: Inspection) -> str:
    if not found.findings:
        return "<p>Nothing to find fault with.</p>"
    rows = "".join(
        f'<tr><td class="{finding.severity}">{finding.severity}</td>'
        f"<td>{escape(finding.message)}<br>{escape(finding.fix)}</td>"
        f"<td><code>{finding.id}</code></td></tr>"
        for finding in found.findings
    )
    return f"<table>{rows}</table>"


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} GiB"
