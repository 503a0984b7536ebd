"""What was measured of a quantization, as a page of HTML with everything in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape

from quantizers.quality.measure import Quality
from quantizers.quality.perplexity import OTHER, QUANTIZED, Perplexity
from quantizers.quality.plots import Dot, dots, outlines
from quantizers.quality.weights import LayerError, Sums
from registry.page import page, table

_WORST = 25


def html_report(quality: Quality) -> str:
    """One page: figures, the worst layers, the error by layer and kind, histograms."""
    parts = [
        table((key, escape(value)) for key, value in facts_of(quality).items()),
        *_predictions(quality),
        *_answers(quality),
        "<h2>Weights by kind of layer</h2>",
        _kinds(quality),
        *_reasons(quality.layers),
        "<h2>Error by layer</h2>",
        "<p>Signal-to-quantization-noise ratio of the dequantized weights against the base's. "
        "A dot is the layers of one name in one decoder layer together; its line reaches from the "
        "worst of them, such as one expert, to the best.</p>",
        dots(_by_place(quality.layers), x_label="decoder layer", y_label="SQNR, dB"),
        "<h2>Worst layers</h2>",
        _worst(quality.worst(_WORST)),
        "<h2>Weights</h2>",
        "<p>Of the base and dequantized, in root mean squares of their layer; from a sample of up "
        "to 65,536 weights a layer.</p>",
    ]
    for kind, found in sorted(quality.histograms.base.items()):
        both = {f"{kind}, base": found, "dequantized": quality.histograms.dequantized[kind]}
        parts.append(outlines(both, x_label="weight / root mean square"))
    parts += [
        "<h2>Scales of weights</h2>",
        outlines(quality.histograms.scales, x_label="log10 of the scale"),
    ]
    return page(f"Quality of {quality.name}", parts)


def facts_of(quality: Quality) -> dict[str, str]:
    """The figures that stand at the head, in words."""
    total = quality.total
    compared = sum(layer.sums is not None for layer in quality.layers)
    facts = {
        "artifact": quality.reference,
        "digest": str(quality.digest) if quality.digest else "",
        "base": quality.base,
        "layers": f"{len(quality.layers):,} quantized, {compared:,} of them compared; "
        f"{quality.left_float:,} left in floating point",
        "weights": f"SQNR {decibels(total)}, cosine {cosine(total)}" if total else "not comparable",
    }
    if not quality.layers:
        facts["weights"] = "no layer is quantized"
    found = quality.functional
    if found is not None:
        figures = found.figures()
        facts["perplexity"] = (
            f"{figures['perplexity_float']:.4f} float, "
            f"{figures['perplexity_quantized']:.4f} quantized "
            f"(× {figures['perplexity_ratio']:.4f}), {tokens_of(found)}"
        )
        facts["divergence"] = (
            f"{figures['divergence']:.6f} nats a token (KL, float to quantized); "
            f"{100 * figures['agreement']:.2f} % same first choice; {found.compared:,} tokens"
        )
        if found.answers:
            facts["greedy answers"] = _equal_answers(found, QUANTIZED)
        if quality.against:
            facts |= _beside(quality.against, found)
        facts["not simulated"] = ", ".join(found.not_simulated)
    return {key: value for key, value in facts.items() if value}


def tokens_of(found: Perplexity) -> str:
    """How many tokens were predicted, and of how many where there was no time for all."""
    if found.of_tokens <= found.tokens:
        return f"{found.tokens:,} tokens"
    return f"{found.tokens:,} of {found.of_tokens:,} tokens"


def _beside(name: str, found: Perplexity) -> dict[str, str]:
    """The figures of another artifact, in the words of the artifact's own."""
    figures = found.figures_of(OTHER)
    rows = {
        "against": name,
        "its perplexity": f"{figures['perplexity']:.4f} (× {figures['perplexity_ratio']:.4f})",
        "its divergence": f"{figures['divergence']:.6f} nats a token; "
        f"{100 * figures['agreement']:.2f} % same first choice",
    }
    return rows | ({"its greedy answers": _equal_answers(found, OTHER)} if found.answers else {})


def _equal_answers(found: Perplexity, model: str) -> str:
    return f"{found.equal_answers(model)} of {len(found.answers)} as the float model's"


def reasons_of(layers: Iterable[LayerError]) -> list[tuple[str, int]]:
    """Why layers were not compared, with how many, most first."""
    return Counter(layer.reason for layer in layers if layer.reason).most_common()


def decibels(sums: Sums | None) -> str:
    """The SQNR in words."""
    if sums is None:
        return "–"
    if sums.sqnr is None:
        return "without error" if sums.signal and not sums.noise else "–"
    return f"{sums.sqnr:.2f} dB"


def cosine(sums: Sums | None) -> str:
    """The cosine in words."""
    return f"{sums.cosine:.6f}" if sums is not None and sums.cosine is not None else "–"


def _predictions(quality: Quality) -> list[str]:
    if quality.functional is None:
        return []
    return [
        "<p>Perplexity and divergence are of float32 arithmetic on dequantized weights, with the "
        "quantization of activations simulated as the artifact prescribes it; they say what the "
        "format costs, not what a kernel adds.</p>"
    ]


def _answers(quality: Quality) -> list[str]:
    """How the models go on, side by side; what differs from the float model is marked."""
    found = quality.functional.answers if quality.functional else ()
    if not found:
        return []
    names = list(found[0].continuations)
    heads = [quality.against if name == OTHER and quality.against else name for name in names]
    rows = []
    for answer in found:
        told = answer.continuations
        first = told[names[0]]
        rows.append((escape(answer.prompt), *(_marked(told[name], first) for name in names)))
    alike = sum(len(set(answer.continuations.values())) == 1 for answer in found)
    return [
        "<h2>Greedy answers</h2>",
        f"<p>{alike} of {len(found)} continuations of the text are the same for all models.</p>",
        _grid(("prompt", *heads), rows),
    ]


def _marked(text: str, reference: str) -> str:
    """A continuation, with what comes after its last agreement with another one marked."""
    pairs = enumerate(zip(text, reference, strict=False))
    same = next((n for n, (a, b) in pairs if a != b), min(len(text), len(reference)))
    rest = f"<mark>{escape(text[same:])}</mark>" if text[same:] else ""
    return escape(text[:same]) + rest


def _kinds(quality: Quality) -> str:
    rows = []
    for (kind, scheme), layers in quality.groups().items():
        measured = [layer.sums for layer in layers if layer.sums]
        together = sum(measured, Sums()) if measured else None
        worst = min((s for s in measured if s.sqnr is not None), key=_sqnr, default=None)
        rows.append(
            (
                escape(kind),
                escape(scheme),
                f"{len(measured):,} of {len(layers):,}",
                decibels(together),
                decibels(worst),
                cosine(together),
            )
        )
    return _grid(("kind", "scheme", "compared", "SQNR", "worst layer", "cosine"), rows)


def _sqnr(sums: Sums) -> float:
    return sums.sqnr or 0.0


def _reasons(layers: Sequence[LayerError]) -> list[str]:
    found = reasons_of(layers)
    if not found:
        return []
    lines = "".join(f"<li>{count:,} × {escape(reason)}</li>" for reason, count in found)
    return ["<p>Not compared, since the weights are not the base's or cannot be read:</p>",
            f"<ul>{lines}</ul>"]  # fmt: skip


def _worst(layers: Sequence[LayerError]) -> str:
    rows = [
        (
            f"<code>{escape(layer.module)}</code>",
            escape(layer.kind),
            escape(layer.scheme),
            decibels(layer.sums),
            cosine(layer.sums),
        )
        for layer in layers
    ]
    return _grid(("layer", "kind", "scheme", "SQNR", "cosine"), rows)


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def _by_place(layers: Sequence[LayerError]) -> dict[str, list[Dot]]:
    """Layers of one name in one decoder layer together, by kind."""
    places: dict[tuple[str, int, str], list[Sums]] = {}
    for layer in layers:
        if layer.sums is not None and layer.sums.sqnr is not None:
            leaf = layer.module.rpartition(".")[2]
            number = -1 if layer.number is None else layer.number
            places.setdefault((layer.kind, number, leaf), []).append(layer.sums)
    series: dict[str, list[Dot]] = {}
    for (kind, number, leaf), found in sorted(places.items()):
        together, each = _sqnr(sum(found, Sums())), [_sqnr(sums) for sums in found]
        place = f"layer {number}" if number >= 0 else "outside of layers"
        title = f"{place} {leaf} ({kind}): {together:.2f} dB"
        series.setdefault(kind, []).append(Dot(number, together, min(each), max(each), title))
    return series
