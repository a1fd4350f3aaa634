"""Curves on dots: minimum, maximum and last value a column, then drawn: in braille by the canvas, in ASCII by plotext.

Plotext draws each curve in a figure of its own: its module-level one, which goes stale after a build, is never touched.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from rmtui.app.widgets.chart.canvas import Point
from rmtui.app.widgets.chart.curve import Curve
from rmtui.app.widgets.chart.scale import Scale

_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")

Points = tuple[Point, ...]

FEWEST_TO_SMOOTH = 20
"""Curves of fewer points are evaluations, which stay as they are."""


class Dots(NamedTuple):
    """A curve on the canvas: a polyline for each stretch between gaps, and the columns that get a mark."""

    lines: tuple[Points, ...]
    gaps: tuple[int, ...]


@dataclass(slots=True)
class _Column:
    at: int
    low: float
    high: float
    last: float


def dots(curve: Curve, x: Scale, y: Scale) -> Dots:
    """Down-sampled to the dots on screen by minimum and maximum: a spike of one step stays as high as it was."""
    lines: list[Points] = []
    stretch: list[_Column] = []
    column_of, shows = x.mapper(), y.shows
    for at, low, high, last in _inside(curve, x):
        column = column_of(at)
        if not shows(last):
            _close(lines, stretch, y)
            continue
        low = low if low == last or shows(low) else last
        if stretch and stretch[-1].at == column:
            _widen(stretch[-1], low, high, last)
        else:
            stretch.append(_Column(column, low, high if high == last or shows(high) else last, last))
    _close(lines, stretch, y)
    return Dots(tuple(lines), _gaps(curve, x))


def _gaps(curve: Curve, x: Scale) -> tuple[int, ...]:
    broken = curve.broken or [not math.isfinite(value) for value in curve.last]
    inside = (at for at, bad in zip(curve.x, broken, strict=True) if bad and x.low <= at <= x.high)
    return tuple(dict.fromkeys(x.dot(at) for at in inside))


def _widen(column: _Column, low: float, high: float, last: float) -> None:
    column.low, column.high, column.last = min(column.low, low), max(column.high, high), last


def _close(lines: list[Points], stretch: list[_Column], y: Scale) -> None:
    if stretch:
        lines.append(_polyline(stretch, y))
        stretch.clear()


def _polyline(columns: Sequence[_Column], y: Scale) -> Points:
    """Through each column's lowest and highest dot; from the last dot of one to the nearest dot of the next."""
    points: list[Point] = []
    before: int | None = None
    row_of = y.mapper()
    for column in columns:
        last = row_of(column.last)
        if column.low == column.high == column.last:
            if not points or points[-1] != (column.at, last):
                points.append((column.at, last))
            before = last
            continue
        low = last if column.low == column.last else row_of(column.low)
        high = last if column.high == column.last else row_of(column.high)
        enter = last if before is None else max(low, min(high, before))
        for dot in (enter, low, high, last) if enter - low < high - enter else (enter, high, low, last):
            if not points or points[-1] != (column.at, dot):
                points.append((column.at, dot))
        before = last
    return tuple(points)


def _inside(curve: Curve, x: Scale) -> list[tuple[float, float, float, float]]:
    """The columns inside the scale, and where the curve crosses its edges."""
    rows = list(zip(curve.x, curve.low, curve.high, curve.last, strict=False))
    inside = [row for row in rows if x.low <= row[0] <= x.high]
    if len(inside) == len(rows):
        return inside
    first = next((n for n, row in enumerate(rows) if row[0] >= x.low), len(rows))
    after = next((n for n, row in enumerate(rows) if row[0] > x.high), len(rows))
    if 0 < first < len(rows) and rows[first][0] > x.low:
        inside.insert(0, _crossing(rows[first - 1], rows[first], x.low))
    if 0 < after < len(rows) and rows[after - 1][0] < x.high:
        inside.append(_crossing(rows[after - 1], rows[after], x.high))
    return inside


def _crossing(
    one: tuple[float, float, float, float], two: tuple[float, float, float, float], at: float
) -> tuple[float, float, float, float]:
    share = (at - one[0]) / (two[0] - one[0])
    value = one[3] + share * (two[3] - one[3])
    return at, value, value, value


def smoothed(curve: Curve, weight: float | None) -> Curve:
    """The exponential mean of the last values, column by column, unbiased at its start; gaps stay. Without a weight,
    a noisy curve becomes the mean of the columns around, which does not lag behind it."""
    if not is_smoothed(curve, weight):
        return curve
    if weight is None:
        around = _mean_around(curve.last)
        return curve._replace(low=around, high=around, last=around)
    mean, mass = 0.0, 0.0
    out: list[float] = []
    for value in curve.last:
        if not math.isfinite(value):
            out.append(value)
            continue
        mean, mass = weight * mean + (1 - weight) * value, weight * mass + 1 - weight
        out.append(mean / mass)
    return curve._replace(low=out, high=out, last=out)


def is_smoothed(curve: Curve, weight: float | None) -> bool:
    """Whether a view of this weight shows a mean in place of the curve."""
    return len(curve.x) >= FEWEST_TO_SMOOTH and not curve.quiet and (curve.noisy if weight is None else weight > 0)


def _mean_around(values: Sequence[float]) -> list[float]:
    """Of each value and its neighbours, a 15th of all to either side; towards the ends fewer, as many on both sides."""
    sums, counts = [0.0], [0]
    for value in values:
        real = math.isfinite(value)
        sums.append(sums[-1] + (value if real else 0.0))
        counts.append(counts[-1] + real)
    reach, last = max(2, len(values) // 15), len(values) - 1
    out = []
    for place, value in enumerate(values):
        wide = min(reach, max(2, place), max(2, last - place))
        first, after = max(0, place - wide), min(last, place + wide) + 1
        out.append((sums[after] - sums[first]) / (counts[after] - counts[first]) if math.isfinite(value) else value)
    return out


@lru_cache(maxsize=64)
def draw(lines: tuple[Points, ...], width: int, height: int, marker: str) -> tuple[str, ...]:
    """Lines of text, `width` × `height` cells, drawn by plotext; `marker` is a sign a cell, or "braille"."""
    from plotext._figure import _figure_class

    across, up = (2, 4) if marker == "braille" else (1, 1)
    figure = _figure_class()
    figure._limit_size(False, False)
    figure.plot_size(width, height)
    figure.frame(False)
    figure.xaxes(False, False)
    figure.yaxes(False, False)
    figure.xticks([])
    figure.yticks([])
    figure.xlim(0, across * width - 1)
    figure.ylim(0, up * height - 1)
    for points in lines:
        figure.plot([x for x, _ in points], [y for _, y in points], marker=marker)
    text = _ESCAPES.sub("", figure.build())
    return tuple(text.split("\n")[:height])
