"""Line charts as SVG text: axes with round ticks, one polyline a series, gaps where a value is not finite."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rmtui.text import clean

WIDTH, HEIGHT = 720, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 20, 44
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
"""Okabe and Ito's colour-blind-safe palette."""
_MOST_POINTS = 600
_LARGEST = 1e100


def escape(text: str) -> str:
    """Text as HTML and SVG show it: no markup, and nothing that hides or turns round what is there."""
    return html.escape(clean(text))


@dataclass(frozen=True, slots=True)
class SvgLine:
    """One curve: (x, y) in order of x; y may be NaN, which is a gap."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    dashed: bool = False


def chart(title: str, x_label: str, lines: Sequence[SvgLine]) -> str:
    """An `<svg>` element; an empty string where no line has a finite point."""
    finite = [point for line in lines for point in line.points if _drawn(point)]
    if not finite:
        return ""
    scale = _Scale(_span([x for x, _ in finite]), _padded(_span([y for _, y in finite])))
    body = [*_axes(scale, x_label), *(_curve(line, scale) for line in lines), *_legend(lines)]
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f'<text x="{_LEFT}" y="14" class="title">{escape(title)}</text>{"".join(body)}</svg>'
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, value: float) -> float:
        low, high = self.x_range
        return _LEFT + (value - low) / (high - low) * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return HEIGHT - _BOTTOM - (value - low) / (high - low) * (HEIGHT - _TOP - _BOTTOM)


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    size = max(abs(low), abs(high))
    return (
        (low, high) if high - low > max(1e-30, 1e-9 * size) else (low - max(0.5, size / 2), high + max(0.5, size / 2))
    )


def _drawn(point: tuple[float, float]) -> bool:
    """Whether a point has a place; what is not finite, or beyond all measure, is a gap."""
    return all(math.isfinite(value) and abs(value) < _LARGEST for value in point)


def _padded(span: tuple[float, float]) -> tuple[float, float]:
    margin = 0.05 * (span[1] - span[0])
    return span[0] - margin, span[1] + margin


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten apart) inside the range."""
    raw = (high - low) / about
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * nice for nice in (1, 2, 5, 10) if power * nice >= raw)
    first = math.ceil(low / step)
    last = math.floor(high / step)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _axes(scale: _Scale, x_label: str) -> Iterator[str]:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    for value in ticks(*scale.y_range):
        y = scale.y(value)
        yield f'<line x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" class="tick end">{value:g}</text>'
    for value in ticks(*scale.x_range):
        if not math.isclose(value, round(value), abs_tol=1e-9):
            continue  # half an epoch or step has no mark
        yield f'<text x="{scale.x(value):.1f}" y="{bottom + 16}" class="tick middle">{value:g}</text>'
    yield f'<line x1="{_LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}" class="axis"/>'
    yield f'<text x="{right}" y="{HEIGHT - 8}" class="tick end">{escape(x_label)}</text>'


def _curve(line: SvgLine, scale: _Scale) -> str:
    dash = ' stroke-dasharray="6 4"' if line.dashed else ""
    pieces = []
    for piece in _pieces(thin(line.points, _MOST_POINTS)):
        if len(piece) == 1:
            x, y = piece[0]
            pieces.append(f'<circle cx="{scale.x(x):.1f}" cy="{scale.y(y):.1f}" r="3" fill="{line.colour}"/>')
        else:
            path = " ".join(f"{scale.x(x):.1f},{scale.y(y):.1f}" for x, y in piece)
            pieces.append(f'<polyline points="{path}" stroke="{line.colour}"{dash} class="curve"/>')
    return "".join(pieces)


def _pieces(points: Sequence[tuple[float, float]]) -> Iterator[list[tuple[float, float]]]:
    piece: list[tuple[float, float]] = []
    for point in points:
        if _drawn(point):
            piece.append(point)
        elif piece:
            yield piece
            piece = []
    if piece:
        yield piece


def thin(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """At most about `most` points: of every bucket the lowest and the highest stay, so spikes survive."""
    if len(points) <= most:
        return list(points)
    size = math.ceil(2 * len(points) / most)
    kept: list[tuple[float, float]] = []
    for start in range(0, len(points), size):
        bucket = points[start : start + size]
        gaps = [point for point in bucket if not _drawn(point)][:1]
        finite = [point for point in bucket if _drawn(point)]
        ends = [min(finite, key=_height), max(finite, key=_height)] if finite else []
        kept += sorted({*ends, *gaps}, key=lambda point: point[0])
    return kept


def _height(point: tuple[float, float]) -> float:
    return point[1]


def _legend(lines: Sequence[SvgLine]) -> Iterator[str]:
    x = float(_LEFT)
    for line in lines:
        dash = ' stroke-dasharray="6 4"' if line.dashed else ""
        y = HEIGHT - 12
        yield f'<line x1="{x}" x2="{x + 22}" y1="{y}" y2="{y}" stroke="{line.colour}"{dash} class="curve"/>'
        yield f'<text x="{x + 28}" y="{y + 4}" class="tick">{escape(line.name)}</text>'
        x += 44 + 7 * len(line.name)
