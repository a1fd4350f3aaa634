"""A chart as cells: band, quiet curves, curves, level, marks and cursor in layers, and the axes around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from rmtui.app.widgets.chart.canvas import BRAILLE, Canvas
from rmtui.app.widgets.chart.curve import Band, Curve, View, finite
from rmtui.app.widgets.chart.plot import FEWEST_TO_SMOOTH, Dots, dots, draw, smoothed
from rmtui.app.widgets.chart.scale import Scale, x_ticks, y_scale, y_ticks
from rmtui.app.widgets.glyphs import Glyphs
from rmtui.app.widgets.palette import Palette

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
    """The x that other charts reach, too."""


@dataclass(slots=True)
class ChartCell:
    sign: str = " "
    style: Style | None = None
    bits: int = 0


class Picture:
    """Draws a scene once; `strips` are its lines with a cursor at any place, which costs little."""

    def __init__(self, scene: Scene, palette: Palette, glyphs: Glyphs) -> None:
        self.scene, self.palette, self.glyphs = scene, palette, glyphs
        self.plain = glyphs.curves.isascii()
        self.columns = max(1, scene.width - GUTTER - 1)
        self.rows = max(1, scene.height - 2)
        across, up = (1, 1) if self.plain else (2, 4)
        self.x = Scale(*_x_range(scene), across * self.columns)
        self.curves = tuple(smoothed(curve, scene.view.smoothing) for curve in scene.curves)
        self.y = y_scale(self._values(), up * self.rows, max(2, min(7, self.rows // 2)), scene.view.log)
        self._across, self._up = across, up
        self._found: dict[int, Dots] = {}
        self._cells = [[ChartCell() for _ in range(self.columns)] for _ in range(self.rows)]
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
        for curve in self.curves:
            for at, low, high in zip(curve.x, curve.low, curve.high, strict=False):
                if self.x.low <= at <= self.x.high:
                    found += (low, high)
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
        for column in range(self.columns):
            at = self.x.value(self._across * column)
            low, high = _at(band.x, band.low, at), _at(band.x, band.high, at)
            if low is None or high is None:
                continue
            bottom, top = self._row(self.y.dot(low)), self._row(self.y.dot(high))
            for row in range(top, bottom + 1):
                self._cells[row][column] = ChartCell(self.glyphs.band, self.palette.band)

    def _lay_quiet(self) -> None:
        behind = [curve for curve in self.curves if curve.quiet]
        if self.scene.view.smoothing > 0:
            behind += [curve for curve in self.scene.curves if not curve.quiet and len(curve.x) >= FEWEST_TO_SMOOTH]
        if not behind or self.plain:
            return
        canvas = Canvas(self.columns, self.rows)
        for curve in behind:
            for line in dots(curve, self.x, self.y).lines:
                canvas.line(line)
        self._merge(canvas.rows, self.palette.band, behind=True)

    def _lay_curve(self, curve: Curve) -> None:
        style, lines = self.palette.run(curve.slot), self._dots(curve).lines
        if self.plain:
            self._overwrite(draw(lines, self.columns, self.rows, self.glyphs.curves[curve.slot % 6]), style)
            return
        canvas = Canvas(self.columns, self.rows)
        for line in lines:
            canvas.line(line)
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
            for column, found in enumerate(bits):
                if found:
                    cell = cells[column]
                    cell.sign, cell.style = chr(BRAILLE + (cell.bits | found)), style
                    cell.bits |= 0 if behind else found

    def _overwrite(self, lines: Sequence[str], style: Style) -> None:
        for cells, line in zip(self._cells, lines, strict=False):
            for column, sign in enumerate(line[: self.columns]):
                if sign != " ":
                    cells[column] = ChartCell(sign, style)

    def _lay_level(self) -> None:
        band = self.scene.band
        if band is None or band.target is None or not self.y.low <= band.target <= self.y.high:
            return
        row = self._row(self.y.dot(band.target))
        for column, cell in enumerate(self._cells[row]):
            if not cell.bits and column % 2 == 0:
                self._cells[row][column] = ChartCell(self.glyphs.target, self.palette.quiet)

    def _lay_marks(self, curve: Curve) -> None:
        style = self.palette.run(curve.slot)
        found = self._dots(curve)
        for column in found.gaps:
            self._put(column, 0, self.glyphs.gap, self.palette.bad)
        points = [point for line in found.lines for point in line]
        if points:
            if self._several():
                self._sprinkle(points, curve.slot, style)
            self._put(*points[-1], self.glyphs.curves[curve.slot % 6], style)
        if curve.best and self._in(curve.best[0]) and self.y.shows(curve.best[1]):
            at, value = curve.best
            self._put(self.x.dot(at), self.y.dot(value), self.glyphs.best, style)

    def _several(self) -> bool:
        return len({curve.slot for curve in self.curves if not curve.quiet}) > 1

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
        if cell.bits or cell.sign not in (" ", self.glyphs.band, self.glyphs.target):
            here = ChartCell(cell.sign, (cell.style or self.palette.text) + Style(reverse=True))
        else:
            here = ChartCell(self.glyphs.cursor, self.palette.accent)
        return [*cells[:column], here, *cells[column + 1 :]]

    def _put(self, x: int, y: int, sign: str, style: Style) -> None:
        row, column = self._row(y), min(self.columns - 1, x // self._across)
        self._cells[row][column] = ChartCell(sign, style + Style(bold=True))

    def _row(self, dot: int) -> int:
        return max(0, min(self.rows - 1, self.rows - 1 - dot // self._up))

    # Lines

    def _body(self, cursor: float | None) -> list[Strip]:
        ticks = {self._row(self.y.dot(tick.value)): tick.label for tick in self._y_ticks()}
        quiet, glyphs = self.palette.quiet, self.glyphs
        lines: list[Strip] = []
        column = None
        if cursor is not None and self._in(cursor):
            column = min(self.columns - 1, self.x.dot(cursor) // self._across)
        for row, cells in enumerate(self._cells):
            label = ticks.get(row, "")
            axis = glyphs.tick_left if label else glyphs.vertical
            gutter = Segment(f"{label:>{GUTTER - 1}} {axis}", quiet)
            lines.append(Strip([gutter, *_runs(self._with_cursor(cells, column))]))
        return lines

    def _y_ticks(self) -> list[_Label]:
        parts = max(2, min(7, self.rows // 2))
        ticks = y_ticks(self.y, parts, self.scene.percent)
        return [_Label(tick.value, tick.label) for tick in reversed(ticks)]

    def _feet(self) -> list[Strip]:
        glyphs, quiet = self.glyphs, self.palette.quiet
        axis = [glyphs.horizontal] * self.columns
        labels = [" "] * self.columns
        name = self.scene.view.axis.value
        free = self.columns - cell_len(name) - 1
        after = 0
        for tick in x_ticks(self.x, self.scene.view.axis, max(2, self.columns // 14)):
            column = min(self.columns - 1, self.x.dot(tick.value) // self._across)
            axis[column] = glyphs.tick_below
            start = max(0, column - len(tick.label) // 2)
            if start >= after and start + len(tick.label) <= free:
                labels[start : start + len(tick.label)] = tick.label
                after = start + len(tick.label) + 1
        labels[max(0, self.columns - len(name)) :] = name[: self.columns]
        blank = " " * GUTTER
        return [
            Strip([Segment(blank + glyphs.corner + "".join(axis), quiet)]),
            Strip([Segment(blank + " " + "".join(labels), quiet)]),
        ]


class _Label(NamedTuple):
    value: float
    label: str


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


def _at(xs: Sequence[float], ys: Sequence[float], at: float) -> float | None:
    """The value between two points; None outside."""
    if not xs or at < xs[0] or at > xs[-1]:
        return None
    for n in range(1, len(xs)):
        if at <= xs[n]:
            share = (at - xs[n - 1]) / (xs[n] - xs[n - 1]) if xs[n] > xs[n - 1] else 1.0
            value = ys[n - 1] + share * (ys[n] - ys[n - 1])
            return value if finite(value) else None
    return ys[-1]
