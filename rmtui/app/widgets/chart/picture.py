"""A chart as cells: band, quiet curves, curves, level, marks and cursor in layers, and the axes around them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from rmtui.app.widgets.chart.canvas import BRAILLE, Canvas
from rmtui.app.widgets.chart.curve import Band, Curve, View, finite
from rmtui.app.widgets.chart.plot import Dots, dots, draw, is_smoothed
from rmtui.app.widgets.chart.scale import Scale, x_ticks, y_scale, y_ticks
from rmtui.app.widgets.glyphs import Glyphs
from rmtui.app.widgets.palette import Palette
from rmtui.translation import tr

GUTTER = 7
"""Cells left of the axis line; the same in every chart, so that stacked charts share their columns."""


class Scene(NamedTuple):
    """Everything a picture depends on."""

    curves: tuple[Curve, ...]
    band: Band | None
    view: View
    percent: bool
    width: int
    height: int
    """Of the whole picture, axes included."""
    span: tuple[float, float] | None = None
    """The x that other charts reach, too, or that the run will."""
    end: str = ""
    """What stands at the end of the axis: when the run ends."""


FULL_FEET = 8
"""From so many rows on, the axis is a line with ticks above its numbers; below, the numbers alone."""
MOST_MARKED = 12
"""A curve of no more points has a mark at each."""
EIGHTHS = " ▁▂▃▄▅▆▇"


@dataclass(slots=True)
class ChartCell:
    """One sign of a picture. Never changed, only replaced: many places share one."""

    sign: str = " "
    style: Style | None = None
    bits: int = 0
    ground: Style | None = None
    """Of a filled band."""


_FREE = ChartCell()


class Picture:
    """Draws a scene once; `strips` are its lines with a cursor at any place, which costs little."""

    def __init__(self, scene: Scene, means: Sequence[Curve], palette: Palette, glyphs: Glyphs) -> None:
        """`means`: the scene's curves, smoothed as its view asks for."""
        self.scene, self.palette, self.glyphs = scene, palette, glyphs
        self.plain = glyphs.curves.isascii()
        self.columns = max(1, scene.width - GUTTER - 1)
        self._feet_rows = 2 if scene.height >= FULL_FEET else 1
        self.rows = max(1, scene.height - self._feet_rows)
        across, up = (1, 1) if self.plain else (2, 4)
        self.x = Scale(*_x_range(scene), across * self.columns)
        self.curves = means
        self._least = _least_step(self.curves)
        parts = max(2, min(7, self.rows // 2))
        self.y = y_scale(self._values(), up * self.rows, parts, scene.view.log, self._least)
        self._column_of, self._dot_of = self.x.mapper(), self.y.mapper()
        self._across, self._up = across, up
        self._found: dict[int, Dots] = {}
        self._cells = [[_FREE] * self.columns for _ in range(self.rows)]
        self._lay()

    @property
    def shows_band(self) -> bool:
        """Whether any of the band is in sight: it may be outside, or behind curves."""
        band = self.glyphs.band
        return any(cell.sign == band for row in self._cells for cell in row)

    def strips(self, cursor: float | None) -> list[Strip]:
        """The lines of the picture, top first; `cursor` is its x."""
        return [*self._body(cursor), *self._feet()]

    def _lay(self) -> None:
        self._lay_band()
        for curve in self.curves:
            if curve.spread is not None:
                self._lay_spread(curve, curve.spread)
        self._lay_quiet()
        for curve in self.curves:
            if not curve.quiet:
                self._lay_curve(curve)
        self._lay_level()
        for curve in self.curves:
            if not curve.quiet:
                self._lay_marks(curve)

    def _values(self) -> list[float]:
        """What has to be inside the y range: the curves in the window; the band only where curves are."""
        found: list[float] = []
        for curve in self.scene.curves:
            for at, low, high in zip(curve.x, curve.low, curve.high, strict=False):
                if self.x.low <= at <= self.x.high:
                    found += (low, high)
            if curve.spread is not None:
                found += [y for at, *ends in zip(curve.x, *curve.spread, strict=True) if self._in(at) for y in ends]
        band = self.scene.band
        if band is not None and found:
            found += [value for value in (band.target,) if value is not None]
            found += [y for at, *ys in zip(band.x, band.low, band.high, strict=True) if self._in(at) for y in ys]
        return found

    def _in(self, at: float) -> bool:
        return self.x.low <= at <= self.x.high

    # Layers

    def _lay_band(self) -> None:
        band = self.scene.band
        if band is None or not band.x:
            return
        cell = ChartCell(self.glyphs.band, self.palette.band)
        places = [self.x.value(self._across * column) for column in range(self.columns)]
        for column, ends in enumerate(_between(band.x, band.low, band.high, places)):
            if ends is not None:
                self._shade(column, *ends, cell)

    def _lay_spread(self, curve: Curve, spread: tuple[Sequence[float], Sequence[float]]) -> None:
        """A 95 % band: filled to an eighth of a cell where the terminal has a colour for it, else shaded."""
        ink = self.palette.fills[curve.slot % len(self.palette.fills)]
        across, dot = self._across, self._dot_of
        alone = {self._column_of(at) // across: n for n, at in enumerate(curve.x) if self._in(at)}
        shade = ChartCell(self.glyphs.band, self.palette.band)
        fills = None if ink is None or self.plain else _fills(ink, self.palette.ground)
        places = [self.x.value(across * column + across / 2) for column in range(self.columns)]
        for column, ends in enumerate(_between(curve.x, *spread, places)):
            if ends is None:
                near = next((alone[place] for place in (column, column - 1, column + 1) if place in alone), None)
                if near is None:
                    continue
                ends = spread[0][near], spread[1][near]
            if fills is None:
                self._shade(column, *ends, shade)
            else:
                self._fill(column, 2 * dot(ends[0]), 2 * dot(ends[1]) + 2, fills)

    def _shade(self, column: int, low: float, high: float, cell: ChartCell) -> None:
        for row in range(self._row(self._dot_of(high)), self._row(self._dot_of(low)) + 1):
            self._cells[row][column] = cell

    def _fill(self, column: int, low: int, high: int, fills: Mapping[int, ChartCell]) -> None:
        """One column from eighth `low` up to eighth `high`, counted from the bottom of the picture."""
        last = self.rows - 1
        for row in range(max(0, last - (high - 1) // 8), min(last, last - low // 8) + 1):
            foot = 8 * (last - row)
            top = high - foot
            self._cells[row][column] = fills[top if top < 8 else -max(0, low - foot)]

    def _behind(self) -> list[Curve]:
        """What is shown as a mean, as it was."""
        weight = self.scene.view.smoothing
        return [curve for curve in self.scene.curves if is_smoothed(curve, weight)]

    def _lay_quiet(self) -> None:
        if self.plain:
            return
        crowd = [curve for curve in self.curves if curve.quiet]
        for curves, style in ((crowd, self.palette.band), (self._behind(), self.palette.raw)):
            if not curves:
                continue
            canvas = Canvas(self.columns, self.rows)
            for curve in curves:
                for line in dots(curve, self.x, self.y).lines:
                    canvas.line(line)
            self._merge(canvas.rows, style, behind=True)

    def _lay_curve(self, curve: Curve) -> None:
        style, lines = self.palette.run(curve.slot), self._dots(curve).lines
        if self.plain:
            self._overwrite(draw(lines, self.columns, self.rows, self.glyphs.curves[curve.slot % 6]), style)
            return
        canvas = Canvas(self.columns, self.rows)
        for line in lines:
            canvas.line(line, curve.thick)
        if curve.dashed:
            for row in canvas.rows:
                row[2::3] = bytes(len(row[2::3]))
        self._merge(canvas.rows, style)

    def _dots(self, curve: Curve) -> Dots:
        if id(curve) not in self._found:
            self._found[id(curve)] = dots(curve, self.x, self.y)
        return self._found[id(curve)]

    def _merge(self, rows: Sequence[bytearray], style: Style, behind: bool = False) -> None:
        for cells, bits in zip(self._cells, rows, strict=False):
            if not any(bits):
                continue
            for column, found in enumerate(bits):
                if found:
                    before, ground = cells[column].bits, cells[column].ground
                    ink = style if ground is None else _joined(style, ground)
                    both = before | found
                    cells[column] = ChartCell(chr(BRAILLE + both), ink, before if behind else both, ground)

    def _overwrite(self, lines: Sequence[str], style: Style) -> None:
        for cells, line in zip(self._cells, lines, strict=False):
            for column, sign in enumerate(line[: self.columns]):
                if sign != " ":
                    cells[column] = ChartCell(sign, style)

    def _lay_level(self) -> None:
        band = self.scene.band
        if band is None or band.target is None or not self.y.low <= band.target <= self.y.high:
            return
        row = self._row(self._dot_of(band.target))
        for column, cell in enumerate(self._cells[row]):
            if not cell.bits and column % 2 == 0:
                style = self.palette.quiet if cell.ground is None else _joined(self.palette.quiet, cell.ground)
                self._cells[row][column] = ChartCell(self.glyphs.target, style, ground=cell.ground)

    def _lay_marks(self, curve: Curve) -> None:
        style = self.palette.run(curve.slot)
        found = self._dots(curve)
        for column in found.gaps:
            self._put(column, 0, self.glyphs.gap, self.palette.bad)
        points = [point for line in found.lines for point in line]
        if points:
            if self._several():
                self._sprinkle(points, curve.slot, style)
            for point in points[-1:] if curve.noisy or len(curve.x) > MOST_MARKED else self._places(curve):
                self._put(*point, self.glyphs.curves[curve.slot % 6], style)
        if curve.best and self._in(curve.best[0]) and self.y.shows(curve.best[1]):
            at, value = curve.best
            self._put(self._column_of(at), self._dot_of(value), self.glyphs.best, style)

    def _places(self, curve: Curve) -> list[tuple[int, int]]:
        """Where a curve of few points was measured; between them it is only drawn."""
        inside = zip(curve.x, curve.last, strict=True)
        return [(self._column_of(at), self._dot_of(y)) for at, y in inside if self._in(at) and self.y.shows(y)]

    def _several(self) -> bool:
        return len({curve.key.partition("/")[0] for curve in self.curves if not curve.quiet}) > 1

    def _sprinkle(self, points: Sequence[tuple[int, int]], slot: int, style: Style) -> None:
        """The run's own marker a few times along its curve: curves can be distinguished without colour."""
        every = max(8, self.columns // 5) * self._across
        due = every * (slot + 1) // 7
        for x, y in points:
            if x >= due:
                self._put(x, y, self.glyphs.curves[slot % 6], style)
                due = x + every

    def _with_cursor(self, cells: list[ChartCell], column: int | None) -> list[ChartCell]:
        if column is None:
            return cells
        cell = cells[column]
        if cell.bits or cell.sign not in (*EIGHTHS, self.glyphs.band, self.glyphs.target):
            here = ChartCell(cell.sign, (cell.style or self.palette.text) + Style(reverse=True))
        else:
            accent = self.palette.accent
            here = ChartCell(self.glyphs.cursor, accent if cell.ground is None else _joined(accent, cell.ground))
        return [*cells[:column], here, *cells[column + 1 :]]

    def _put(self, x: int, y: int, sign: str, style: Style) -> None:
        row, column = self._row(y), min(self.columns - 1, x // self._across)
        ground = self._cells[row][column].ground
        style = style + Style(bold=True)
        self._cells[row][column] = ChartCell(sign, style if ground is None else style + ground, ground=ground)

    def _row(self, dot: int) -> int:
        return max(0, min(self.rows - 1, self.rows - 1 - dot // self._up))

    # Lines

    def _body(self, cursor: float | None) -> list[Strip]:
        ticks = {self._row(self._dot_of(tick.value)): tick.label for tick in self._y_ticks()}
        quiet, glyphs = self.palette.quiet, self.glyphs
        lines: list[Strip] = []
        column = None
        if cursor is not None and self._in(cursor):
            column = min(self.columns - 1, self._column_of(cursor) // self._across)
        for row, cells in enumerate(self._cells):
            label = ticks.get(row, "")
            axis = glyphs.tick_left if label else glyphs.vertical
            gutter = Segment(f"{label:>{GUTTER - 1}} {axis}", quiet)
            lines.append(Strip([gutter, *_runs(self._with_cursor(cells, column))]))
        return lines

    def _y_ticks(self) -> list[_Label]:
        for parts in range(max(2, min(7, self.rows // 2)), 0, -1):
            ticks = y_ticks(self.y, parts, self.scene.percent, self._least)
            if all(len(tick.label) < GUTTER for tick in ticks):  # else fewer labels, which need fewer digits
                break
        return [_Label(tick.value, tick.label) for tick in reversed(ticks)]

    def _feet(self) -> list[Strip]:
        glyphs, quiet = self.glyphs, self.palette.quiet
        axis = [glyphs.horizontal] * self.columns
        labels = [" "] * self.columns
        axis_name = tr(self.scene.view.axis.value)
        name = "  ".join(filter(None, (axis_name, tr(self.scene.end))))
        name = name if cell_len(name) < self.columns // 2 else axis_name
        free = self.columns - cell_len(name) - 1
        after = 0
        for tick in x_ticks(self.x, self.scene.view.axis, max(2, self.columns // 9)):
            column = min(self.columns - 1, self._column_of(tick.value) // self._across)
            axis[column] = glyphs.tick_below
            start = max(0, column - len(tick.label) // 2)
            if start >= after and start + len(tick.label) <= free:
                labels[start : start + len(tick.label)] = tick.label
                after = start + len(tick.label) + 1
        labels[max(0, self.columns - cell_len(name)) :] = name[: self.columns]
        blank = " " * GUTTER
        feet = [
            Strip([Segment(blank + glyphs.corner + "".join(axis), quiet)]),
            Strip([Segment(blank + " " + "".join(labels), quiet)]),
        ]
        return feet[-self._feet_rows :]


class _Label(NamedTuple):
    value: float
    label: str


@lru_cache(maxsize=256)
def _joined(style: Style, ground: Style) -> Style:
    """The same object for the same two: neighbours are joined by it."""
    return style + ground


def _least_step(curves: Sequence[Curve]) -> float:
    """A third of the narrowest 95 % band: an axis with finer labels would show differences that are none."""
    widths = [
        high - low for curve in curves if curve.spread is not None for low, high in zip(*curve.spread, strict=True)
    ]
    return min(widths, default=0.0) / 3


def _runs(cells: Sequence[ChartCell]) -> list[Segment]:
    """Neighbours of one style in one segment."""
    segments: list[Segment] = []
    text, style = "", cells[0].style if cells else None
    for cell in cells:
        if cell.style is not style:
            segments.append(Segment(text, style))
            text, style = "", cell.style
        text += cell.sign
    segments.append(Segment(text, style))
    return segments


def _x_range(scene: Scene) -> tuple[float, float]:
    """The window, open ends filled from the curves (the band where there is no curve)."""
    ends = [(curve.x[0], curve.x[-1]) for curve in scene.curves if len(curve.x)]
    ends += [scene.span] if ends and scene.span is not None else []
    if not ends and scene.band is not None and scene.band.x:
        ends = [(scene.band.x[0], scene.band.x[-1])]
    window = scene.view.window
    low = window.low if window.low is not None else min((first for first, _ in ends), default=0.0)
    high = window.high if window.high is not None else max((last for _, last in ends), default=1.0)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


@lru_cache(maxsize=64)
def _fills(ink: Style, paper: Style) -> Mapping[int, ChartCell]:
    """Cells of a filled band: up to the eighth 1 … 7, from the eighth 1 … 7 on (as −1 … −7), the whole cell (0)."""
    ground = Style(bgcolor=ink.color)
    above = paper + ground
    found = {0: ChartCell(" ", ground, ground=ground)}
    found |= {n: ChartCell(EIGHTHS[n], ink, ground=ground) for n in range(1, 8)}
    return found | {-n: ChartCell(EIGHTHS[n], above, ground=ground) for n in range(1, 8)}


def _between(
    xs: Sequence[float], lows: Sequence[float], highs: Sequence[float], places: Iterable[float]
) -> Iterator[tuple[float, float] | None]:
    """Two lines at places that ascend, interpolated; None outside of them, and where one has no value."""
    n = 1
    for at in places:
        if not xs or at < xs[0] or at > xs[-1]:
            yield None
            continue
        while n < len(xs) and not at <= xs[n]:
            n += 1
        ends = _on(xs, lows, n, at), _on(xs, highs, n, at)
        yield ends if finite(ends[0]) and finite(ends[1]) else None


def _on(xs: Sequence[float], ys: Sequence[float], n: int, at: float) -> float:
    """At a place on the stretch that ends at point `n`."""
    if n >= len(xs):
        return ys[-1]
    share = (at - xs[n - 1]) / (xs[n] - xs[n - 1]) if xs[n] > xs[n - 1] else 1.0
    return ys[n - 1] + share * (ys[n] - ys[n - 1])
