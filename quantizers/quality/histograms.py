"""What weights and scales look like, by kind of layer: counts that a report can draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int64]

_WEIGHT_EDGES = np.linspace(-4.0, 4.0, 81)  # in root mean squares of the layer
_SCALE_EDGES = np.linspace(-8.0, 2.0, 101)  # powers of ten
_SAMPLES = 2**16  # weights a layer: counting all of them would cost more than measuring


@dataclass
class Histogram:
    """Counts between edges; what lies outside counts in the outermost."""

    edges: npt.NDArray[np.float64]
    counts: Counts = field(init=False)

    def __post_init__(self) -> None:
        self.counts = np.zeros(len(self.edges) - 1, np.int64)

    def add(self, values: npt.NDArray[Any]) -> None:
        inside = np.clip(values[np.isfinite(values)], self.edges[0], self.edges[-1])
        self.counts += np.histogram(inside, self.edges)[0]

    def to_json(self) -> dict[str, Any]:
        return {"edges": [round(float(e), 4) for e in self.edges], "counts": self.counts.tolist()}


class Histograms:
    """Collects from several threads.

    Attributes:
        base, dequantized: weights by kind of layer, in root mean squares of their layer's base.
        scales: the common logarithms of weight scales, by kind of layer.
    """

    def __init__(self) -> None:
        self.base: dict[str, Histogram] = {}
        self.dequantized: dict[str, Histogram] = {}
        self.scales: dict[str, Histogram] = {}
        self._lock = Lock()

    def sample(self, kind: str, scale: Floats | None) -> Sample:
        """Begin a layer: count its scales, and return what takes some of its weights."""
        if scale is not None:
            logs = np.log10(scale[scale > 0], dtype=np.float64)
            with self._lock:
                self.scales.setdefault(kind, Histogram(_SCALE_EDGES)).add(logs)
        return Sample(self, kind)

    def take(self, kind: str, base: Floats, dequantized: Floats) -> None:
        """Count the sampled weights of a layer."""
        size = float(np.sqrt(np.mean(np.square(base, dtype=np.float64)))) if base.size else 0.0
        if not size:
            return
        with self._lock:
            self.base.setdefault(kind, Histogram(_WEIGHT_EDGES)).add(base / size)
            self.dequantized.setdefault(kind, Histogram(_WEIGHT_EDGES)).add(dequantized / size)

    def to_json(self) -> dict[str, Mapping[str, Any]]:
        return {
            name: {kind: found.to_json() for kind, found in sorted(histograms.items())}
            for name, histograms in (
                ("weights_base", self.base),
                ("weights_dequantized", self.dequantized),
                ("scales_log10", self.scales),
            )
        }


class Sample:
    """Some of a layer's weights: the first ones of each block, as many as blocks leave room for."""

    def __init__(self, histograms: Histograms, kind: str) -> None:
        self._histograms, self._kind = histograms, kind
        self._base: list[Floats] = []
        self._dequantized: list[Floats] = []
        self._left = _SAMPLES

    def add(self, base: Floats, dequantized: Floats) -> None:
        """Look at a block of both."""
        count = min(self._left, 2**12, base.size)
        if count:
            self._base.append(base.reshape(-1)[:count].copy())
            self._dequantized.append(dequantized.reshape(-1)[:count].copy())
            self._left -= count

    def close(self) -> None:
        """Hand over what was seen."""
        if self._base:
            self._histograms.take(
                self._kind, np.concatenate(self._base), np.concatenate(self._dequantized)
            )
