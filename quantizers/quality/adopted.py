"""The weights of what was quantized elsewhere, against the base that it is said to come from."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quantizers.quality.measure import measure_weights
from quantizers.quality.tracked import track_measured
from quantizers.quality.weights import NO_ROUNDING
from registry.errors import QregError
from registry.progress import Note, Observer
from registry.resolve import Resolved
from registry.tracking.run import TrackedRun


@dataclass(frozen=True)
class Weighed:
    """What the weights say of their base.

    Attributes:
        figures: `sqnr_db`, `sqnr_db_worst`, `cosine`, where weights are comparable.
        layers: how many are quantized; 0 where nothing was compared.
        rounded: how many of them are the base's, rounded.
        strange: how many are not, without a transform that explains it.
    """

    figures: Mapping[str, float] = field(default_factory=dict)
    layers: int = 0
    rounded: int = 0
    strange: int = 0

    @property
    def proves(self) -> bool:
        """Whether most layers are the base's, rounded: no other model has such weights."""
        return 2 * self.rounded > self.layers


def weigh(
    run: TrackedRun,
    folder: Path,
    base: Resolved,
    *,
    name: str,
    provenance: Mapping[str, Any],
    observe: Observer,
) -> Weighed:
    """Compare the weights with the base's, as after a quantization; the report goes to the run.

    Args:
        run: takes the figures.
        folder: of the artifact.
        base: nothing is compared where it is not on this machine.
        name: ORG/NAME of the artifact.
        provenance: with the text of the recipe, which may name transforms.
        observe: is told the bytes compared.
    """
    if base.folder is None:
        return Weighed()
    made = Resolved.of_folder(folder)
    try:
        found = measure_weights(made, base, name=name, provenance=provenance, observe=observe)
    except QregError as error:
        observe(Note(f"Weights could not be compared: {error.message}", warning=True))
        return Weighed()
    with tempfile.TemporaryDirectory(prefix="qreg-adopt-") as work:
        figures = track_measured(run, found, Path(work))
    return Weighed(
        figures,
        len(found.layers),
        sum(layer.sums is not None for layer in found.layers),
        sum(layer.reason == NO_ROUNDING for layer in found.layers),
    )
