"""Plots as SVG inside of a page: dots by layer, and outlines of histograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor
from typing import NamedTuple

import numpy as np

from quantizers.quality.histograms import Histogram
from registry.page import colour

_WIDTH, _HEIGHT = 960, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 12, 34


class Dot(NamedTuple):
    """A value at a place, with the range that it stands for."""

    x: float
    y: float
    low: float
    high: float
    title: str


class _Axes:
    """Places of numbers on the picture."""

    def __init__(self, xs: tuple[float, float], ys: tuple[float, float]) -> None:
        self.xs, self.ys = xs, ys

    def x(self, value: float) -> float:
        low, high = self.xs
        return _LEFT + (value - low) / (high - low or 1) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.ys
        return _HEIGHT - _BOTTOM - (value - low) / (high - low or 1) * (_HEIGHT - _TOP - _BOTTOM)


def dots(series: Mapping[str, Sequence[Dot]], *, x_label: str, y_label: str) -> str:
    """Values by place, a colour a series; a line shows what a dot stands for."""
    every = [dot for found in series.values() for dot in found]
    if not every:
        return ""
    low, high = min(dot.low for dot in every), max(dot.high for dot in every)
    axes = _Axes(
        (min(dot.x for dot in every) - 0.5, max(dot.x for dot in every) + 0.5),
        (floor(low / 5) * 5, ceil(high / 5 + 0.01) * 5),
    )
    parts = [_frame(axes, x_label, y_label)]
    for number, found in enumerate(series.values()):
        shift = (number - (len(series) - 1) / 2) * 5  # so that kinds do not hide each other
        for dot in found:
            x = axes.x(dot.x) + shift
            parts.append(
                f'<g stroke="{colour(number)}" fill="{colour(number)}"><title>{escape(dot.title)}'
                f'</title><path d="M{x:.1f} {axes.y(dot.low):.1f}V{axes.y(dot.high):.1f}"/>'
                f'<circle cx="{x:.1f}" cy="{axes.y(dot.y):.1f}" r="3" stroke="none"/></g>'
            )
    return _picture(parts) + _legend(list(series))


def outlines(histograms: Mapping[str, Histogram], *, x_label: str) -> str:
    """Histograms over each other as outlines, each with its largest count as its height."""
    shown = {name: found for name, found in histograms.items() if found.counts.any()}
    if not shown:
        return ""
    used = [np.flatnonzero(found.counts) for found in shown.values()]
    edges = next(iter(shown.values())).edges
    first, last = min(int(u[0]) for u in used), max(int(u[-1]) for u in used) + 1
    axes = _Axes((float(edges[first]), float(edges[last])), (0.0, 1.05))
    parts = [_frame(axes, x_label, "share of the largest count")]
    for number, (name, found) in enumerate(shown.items()):
        top = found.counts.max()
        path = f"M{axes.x(edges[first]):.1f} {axes.y(0):.1f}"
        for index in range(first, last):
            level = axes.y(found.counts[index] / top)
            path += f"V{level:.1f}H{axes.x(edges[index + 1]):.1f}"
        path += f"V{axes.y(0):.1f}"
        parts.append(
            f'<path d="{path}" fill="none" stroke="{colour(number)}" stroke-width="1.5">'
            f"<title>{escape(name)}</title></path>"
        )
    return _picture(parts) + _legend(list(shown))


def _frame(axes: _Axes, x_label: str, y_label: str) -> str:
    parts = []
    for value in _ticks(axes.ys):
        y = axes.y(value)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#8884"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in _ticks(axes.xs):
        x = axes.x(value)
        parts.append(
            f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 14}" text-anchor="middle">{value:g}</text>'
        )
    middle = (_HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 4}" text-anchor="middle">{escape(x_label)}</text>'
        f'<text x="12" y="{middle}" text-anchor="middle" '
        f'transform="rotate(-90 12 {middle})">{escape(y_label)}</text>'
    )
    return "".join(parts)


def _ticks(span: tuple[float, float]) -> list[float]:
    """Round numbers in a span, about six."""
    low, high = span
    rough = (high - low) / 6 or 1
    power = 10.0 ** floor(np.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [index * step for index in range(ceil(low / step), floor(high / step) + 1)]


def _picture(parts: Sequence[str]) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">'
        + "".join(parts)
        + "</svg>"
    )


def _legend(names: Sequence[str]) -> str:
    keys = "".join(
        f'<span><span class="key" style="background:{colour(number)}"></span>{escape(name)}</span> '
        for number, name in enumerate(names)
    )
    return f"<p>{keys}</p>"
