"""What a quantization did to its model, into the run that did it."""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from quantizers.quality.budget import Budget
from quantizers.quality.measure import Quality, measure_weights
from quantizers.quality.perplexity import Perplexity
from quantizers.quality.report import html_report
from quantizers.quality.weights import Sums
from registry.errors import QregError
from registry.progress import Note, Observer
from registry.resolve import Resolved
from registry.tracking.run import TrackedRun

OF_WEIGHTS = ("sqnr_db", "sqnr_db_worst", "cosine")
_TABLE, _MOST = "worst_layers.json", 25


def track_quality(
    run: TrackedRun,
    source: Path,
    output: Path,
    *,
    name: str,
    provenance: Mapping[str, Any],
    perplexity: Perplexity | None,
    work: Path,
    budget: Budget,
    extent: MutableMapping[str, Any],
    observe: Observer,
) -> dict[str, float]:
    """Compare the weights of what was made with the source; figures and report go to the run.

    What cannot be measured costs no artifact: a note says why.

    Args:
        run: takes metrics, the error by layer and kind among them, and in `quality` the report,
            all figures as JSON, and a table of the worst layers.
        source: the model before.
        output: the model after.
        name: ORG/NAME of the result.
        provenance: what went in, with the recipe's text.
        perplexity: what was measured of predictions, or None.
        work: a folder for files on their way.
        budget: the time that comparing weights may take.
        extent: gets `layers_compared` and `layers_left_out`.
        observe: is told the bytes compared.

    Returns:
        The figures, for the manifest: those of predictions, `sqnr_db`, `sqnr_db_worst` and
        `cosine` of the weights where they are comparable.
    """
    figures = {} if perplexity is None else perplexity.figures()
    before, after = Resolved.of_folder(source), Resolved.of_folder(output)
    try:
        found = measure_weights(
            after, before, name=name, provenance=provenance, budget=budget, observe=observe
        )
    except QregError as error:
        observe(Note(f"Weights could not be compared: {error.message}", warning=True))
        run.metrics({key.replace("_", "/", 1): value for key, value in figures.items()})
        return figures
    found = replace(found, functional=perplexity, reference=name)
    compared = sum(layer.sums is not None for layer in found.layers)
    extent.update(layers_compared=compared, layers_left_out=found.left_out)
    return {**figures, **track_measured(run, found, work)}


def track_measured(run: TrackedRun, found: Quality, work: Path) -> dict[str, float]:
    """The same for what was measured already; returns the figures of the weights."""
    metrics = found.metrics()
    run.metrics(metrics)
    run.curves(_curves(found))
    document = json.dumps(found.to_json(), indent=1)
    files = {"report.html": html_report(found), "quality.json": document}
    for path, content in {**files, _TABLE: _worst(found)}.items():
        (work / path).write_text(content, encoding="utf-8")
        run.artifact(work / path, "quality")
    run.tags(
        {"mlflow.loggedArtifacts": json.dumps([{"path": f"quality/{_TABLE}", "type": "table"}])}
    )
    weights = {k.removeprefix("weights/"): v for k, v in metrics.items()}
    return {key: value for key, value in weights.items() if key in OF_WEIGHTS}


def _curves(found: Quality) -> dict[str, dict[int, float]]:
    """The SQNR of each decoder layer by kind, in dB: what MLflow draws for runs side by side."""
    places: dict[tuple[str, int], Sums] = {}
    for layer in found.layers:
        if layer.sums is not None and layer.number is not None:
            key = layer.kind, layer.number
            places[key] = places.get(key, Sums()) + layer.sums
    curves: dict[str, dict[int, float]] = {}
    for (kind, number), sums in sorted(places.items()):
        if sums.sqnr is not None:
            curves.setdefault(f"weights/sqnr_db_by_layer/{kind}", {})[number] = sums.sqnr
    return curves


def _worst(found: Quality) -> str:
    """The worst layers as the table that MLflow shows."""
    columns = ["layer", "kind", "scheme", "sqnr_db", "cosine"]
    rows = [
        [layer.module, layer.kind, layer.scheme, layer.sqnr, layer.sums and layer.sums.cosine]
        for layer in found.worst(_MOST)
    ]
    return json.dumps({"columns": columns, "data": rows})
