"""What a quantization did to its model, into the run that did it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from quantizers.quality.measure import measure_weights
from quantizers.quality.perplexity import Perplexity
from quantizers.quality.report import html_report
from registry.errors import QregError
from registry.progress import Note, Observer
from registry.resolve import Resolved
from registry.tracking.run import TrackedRun


def track_quality(
    run: TrackedRun,
    source: Path,
    output: Path,
    *,
    name: str,
    provenance: Mapping[str, Any],
    perplexity: Perplexity | None,
    work: Path,
    observe: Observer,
) -> dict[str, float]:
    """Compare the weights of what was made with the source; figures and report go to the run.

    What cannot be measured costs no artifact: a note says why.

    Args:
        run: takes metrics, and `quality/report.html` and `quality/quality.json`.
        source: the model before.
        output: the model after.
        name: ORG/NAME of the result.
        provenance: what went in, with the recipe's text.
        perplexity: what was measured of predictions, or None.
        work: a folder for files on their way.
        observe: is told the bytes compared.

    Returns:
        The figures, for the manifest: those of predictions, `sqnr_db`, `sqnr_db_worst` and
        `cosine` of the weights where they are comparable.
    """
    figures = {} if perplexity is None else perplexity.figures()
    before, after = Resolved.of_folder(source), Resolved.of_folder(output)
    try:
        found = measure_weights(after, before, name=name, provenance=provenance, observe=observe)
    except QregError as error:
        observe(Note(f"Weights could not be compared: {error.message}", warning=True))
        run.metrics({key.replace("_", "/", 1): value for key, value in figures.items()})
        return figures
    found = replace(found, functional=perplexity, reference=name)
    metrics = found.metrics()
    run.metrics(metrics)
    document = json.dumps(found.to_json(), indent=1)
    for path, content in (("report.html", html_report(found)), ("quality.json", document)):
        (work / path).write_text(content, encoding="utf-8")
        run.artifact(work / path, "quality")
    weights = {k.removeprefix("weights/"): v for k, v in metrics.items() if k in _OF_WEIGHTS}
    return {**figures, **weights}


_OF_WEIGHTS = ("weights/sqnr_db", "weights/sqnr_db_worst", "weights/cosine")
