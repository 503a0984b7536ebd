"""How far the weights of a quantized model are from those of its base, layer by layer.

Both are read once, in blocks of rows. Sums are of float32 products over a few thousand values,
added up in float64; the error is formed by element before it is squared, since the difference of
two large sums would lose it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import log10, sqrt
from threading import Event, Lock

import numpy as np

from quantizers.quality.budget import Budget
from quantizers.quality.coding.catalogue import coded_weight
from quantizers.quality.coding.coded import Coded, Floats, Stored, Unreadable
from quantizers.quality.histograms import Histograms, Sample
from quantizers.quality.matching import BaseWeights
from quantizers.quality.tensors import TensorData, Workspace
from registry.checkpoint.facts import Facts
from registry.checkpoint.quantization.layers import FLOAT, Layer
from registry.progress import Observer, Progress, ignore

_READ = 4 * 2**20  # bytes a read: few enough calls, and little memory
_WORK = 2**17  # values at a time: they stay in a core's cache between the passes
_RUN = 2**12  # values of a sum in float32
_MOST_THREADS = 4
# Rounding has an expected error; error feedback (GPTQ) and clipping raise it a few times. Beyond
# this many times it, or with hardly more signal than error, weights are no rounding of the base's.
_FAR_BEYOND_ROUNDING = 30.0
_HARDLY_RELATED = 3.0  # dB
LEFT_OUT = "left out: the time for measuring was up"
NO_ROUNDING = (
    "its weights are no rounding of the base's: smoothed, rotated, trained further, or of another "
    "model"
)


@dataclass(frozen=True)
class Sums:
    """Sums over the elements of a layer, or of several.

    Attributes:
        signal: of the squared base weights.
        noise: of the squared errors, dequantized less base.
        cross: of base times error.
        expected: of the error that rounding alone would leave; 0 where that is not known.
        elements: how many there are.
    """

    signal: float = 0.0
    noise: float = 0.0
    cross: float = 0.0
    expected: float = 0.0
    elements: int = 0

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.signal + other.signal,
            self.noise + other.noise,
            self.cross + other.cross,
            self.expected + other.expected,
            self.elements + other.elements,
        )

    @property
    def sqnr(self) -> float | None:
        """Signal-to-quantization-noise ratio, dB; None where there is no error, or no signal."""
        return 10 * log10(self.signal / self.noise) if self.signal and self.noise else None

    @property
    def cosine(self) -> float | None:
        """Of the angle between base and dequantized weights; None where either is all zero."""
        dequantized = self.signal + 2 * self.cross + self.noise
        if self.signal <= 0 or dequantized <= 0:
            return None
        return (self.signal + self.cross) / sqrt(self.signal * dequantized)


@dataclass(frozen=True)
class LayerError:
    """A quantized layer and how far it is from the base.

    Attributes:
        module: its name.
        kind: its component, `attention`, `mlp`, `experts`, …
        scheme: how it is quantized.
        number: of its decoder layer; None outside of them.
        sums: what was measured; None where it is not comparable or not readable.
        reason: why there are no sums; empty where there are.
    """

    module: str
    kind: str
    scheme: str
    number: int | None
    sums: Sums | None
    reason: str = ""

    @property
    def sqnr(self) -> float | None:
        """Of its sums, dB; None where there are none, or there is no error."""
        return self.sums.sqnr if self.sums else None


@dataclass
class _Shared:
    """What the threads of a measurement share."""

    total: int
    observe: Observer
    done: int = 0
    lock: Lock = field(default_factory=Lock)
    stopped: Event = field(default_factory=Event)
    workspace: Workspace = field(default_factory=Workspace)

    def tell(self, count: float, module: str) -> None:
        with self.lock:
            self.done += int(count)
            done = min(self.done, self.total)
            self.observe(Progress("comparing weights", done, self.total, "bytes", module))


def compare_weights(
    quantized: Facts,
    base: Facts,
    *,
    incomparable: dict[str, str],
    histograms: Histograms | None = None,
    budget: Budget | None = None,
    observe: Observer = ignore,
) -> tuple[LayerError, ...]:
    """Measure every quantized layer against the base.

    Memory is a few blocks and the scales of the layers at hand, whatever the sizes of the tensors.

    Args:
        quantized: facts of a checkpoint on this machine.
        base: facts of the model that it was made from, on this machine.
        incomparable: layers of which the weights are not those of the base rounded, with reasons.
        histograms: takes samples of weights and all scales.
        budget: the time that it may take: layers that it does not reach have the reason LEFT_OUT.
            Those that it reaches lie all over the model. None: all.
        observe: is told the bytes of both that were read.

    Returns:
        The quantized layers in the order of the checkpoint.
    """
    layers = [layer for layer in quantized.quantization.layers if layer.scheme != FLOAT]
    ours, theirs = TensorData(quantized.checkpoint), TensorData(base.checkpoint)
    weights = BaseWeights(base, theirs)
    shared, budget = _Shared(_bytes_of(layers, quantized), observe), budget or Budget()

    def one(layer: Layer) -> LayerError:
        reason = incomparable.get(layer.module, "")
        sums: Sums | None = None
        if not reason and budget.is_over:
            reason = LEFT_OUT
        if not reason and not shared.stopped.is_set():
            coded = coded_weight(layer, quantized, ours)
            other = coded if isinstance(coded, Unreadable) else weights.of(layer, coded.shape)
            if isinstance(coded, Coded) and isinstance(other, Coded):
                sample = histograms and histograms.sample(layer.component, coded.scale)
                sums = _compare(coded, ours, other, theirs, shared, layer.module, sample or None)
                reason = _unrelated(sums)
            else:
                reason = other.reason if isinstance(other, Unreadable) else ""
        kept = None if reason else sums
        return LayerError(layer.module, layer.component, layer.scheme, layer.number, kept, reason)

    try:
        with ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_THREADS)) as pool:
            try:
                order = _spread(len(layers)) if budget.until else range(len(layers))
                found = dict(zip(order, pool.map(one, (layers[i] for i in order)), strict=True))
                return tuple(found[number] for number in range(len(layers)))
            finally:
                shared.stopped.set()  # an interruption does not wait for terabytes
    finally:
        ours.close()
        theirs.close()


def _spread(count: int) -> list[int]:
    """Numbers in an order of which any beginning lies all over them: as in van der Corput's."""
    bits = max(1, (count - 1).bit_length())
    reverse = (int(f"{number:0{bits}b}"[::-1], 2) for number in range(2**bits))
    return [number for number in reverse if number < count]


def _compare(
    coded: Coded,
    ours: TensorData,
    base: Coded,
    theirs: TensorData,
    shared: _Shared,
    module: str,
    sample: Sample | None,
) -> Sums:
    workspace, (rows, columns) = shared.workspace, coded.shape
    signal = noise = cross = 0.0
    for start, count, stored, reference in _blocks(coded, ours, base, theirs, shared):
        step = max(coded.packed_rows, _WORK // columns // coded.packed_rows * coded.packed_rows)
        for first in range(0, count, step):
            part = min(step, count - first)
            values = workspace.take("values", (part, columns), np.float32)
            truth = workspace.take("truth", (part, columns), np.float32)
            packed = coded.packed_rows
            coded.values(stored[first // packed : (first + part) // packed], start + first, values)
            base.values(reference[first : first + part], start + first, truth)
            if sample is not None:
                sample.add(truth, values)
            np.subtract(values, truth, out=values)
            error, exact = values.reshape(-1), truth.reshape(-1)
            signal += _dot(exact, exact)
            noise += _dot(error, error)
            cross += _dot(exact, error)
        shared.tell(count * (coded.row_bytes + base.row_bytes), module)
    if sample is not None:
        sample.close()
    return Sums(signal, noise, cross, _expected(coded), rows * columns)


def _dot(left: Floats, right: Floats) -> float:
    # In short runs: for long ones BLAS starts threads of its own, and float32 sums grow inexact.
    whole = left.size // _RUN * _RUN
    runs = np.vecdot(left[:whole].reshape(-1, _RUN), right[:whole].reshape(-1, _RUN))
    return float(runs.sum(dtype=np.float64)) + float(np.dot(left[whole:], right[whole:]))


def _blocks(
    coded: Coded, ours: TensorData, base: Coded, theirs: TensorData, shared: _Shared
) -> Iterator[tuple[int, int, Stored, Stored]]:
    """First row, number of rows, and what both sides store of them; reading runs ahead."""
    rows, packed = coded.shape[0], coded.packed_rows
    size = max(1, int(_READ / max(coded.row_bytes, base.row_bytes)))
    size = max(packed, size // packed * packed)
    read = coded.reader(ours, shared.workspace, "ours")
    refer = base.reader(theirs, shared.workspace, "theirs")
    for start in range(0, rows, size):
        if shared.stopped.is_set():
            return
        count, following = min(size, rows - start), start + size
        ahead = min(size, rows - following)
        if ahead > 0:
            coded.ahead(ours, following, ahead)
            base.ahead(theirs, following, ahead)
        yield start, count, read(start, count), refer(start, count)


def _expected(coded: Coded) -> float:
    """What rounding to evenly spaced codes leaves: a twelfth of the squared step, each element."""
    if not coded.rounding or coded.scale is None:
        return 0.0
    rows, columns = coded.shape
    squares = np.square(coded.scale, dtype=np.float64).mean()
    return float(squares) * rows * columns / 12


def _unrelated(sums: Sums) -> str:
    """Why the weights cannot be the base's, rounded; empty if they may be."""
    sqnr = sums.sqnr
    if sqnr is None:
        return "" if sums.signal else "the base's weights are all zero"
    if sqnr != sqnr:
        return "there are weights that are no numbers"
    times = sums.noise / sums.expected if sums.expected else 0.0
    if times > _FAR_BEYOND_ROUNDING or sqnr < _HARDLY_RELATED:
        return NO_ROUNDING
    return ""


def _bytes_of(layers: list[Layer], quantized: Facts) -> int:
    """About how much will be read, of both; the base counts as two bytes a parameter."""
    from registry.checkpoint.quantization.packing import packed_values

    tensors = quantized.checkpoint.tensors
    return sum(layer.tensor.size + 2 * packed_values(layer, tensors) for layer in layers) or 1
