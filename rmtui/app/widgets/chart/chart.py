"""Curves of a metric against step, epoch, tokens or time. Charts that move together are given the same `View`."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from rmtui import text as formats
from rmtui.app import actions
from rmtui.app.widgets.chart.curve import Axis, Band, Curve, View, Window, finite, value_at
from rmtui.app.widgets.chart.legend import LegendEntry, laid
from rmtui.app.widgets.chart.picture import Picture, Scene
from rmtui.app.widgets.chart.plot import smoothed
from rmtui.app.widgets.chart.scale import Scale, x_value
from rmtui.app.widgets.glyphs import Glyphs, glyphs_of
from rmtui.app.widgets.palette import Palette, palette_of
from rmtui.translation import spoken, tr

SMOOTHINGS = (None, 0.0, 0.6, 0.9, 0.97)
"""None: the mean of the steps around, of noisy curves alone."""
FEWEST_ROWS = 5
"""Lower than this, a chart shows its latest values alone."""
MOST_LEGEND_ROWS = 3
Made = TypeVar("Made")


class _Latest(Generic[Made]):
    """The last thing made, kept for as long as what it was made from stays the same."""

    def __init__(self) -> None:
        self._key: object = None
        self.value: Made | None = None

    def of(self, key: object, make: Callable[[], Made]) -> Made:
        if self.value is None or self._key != key:
            self._key, self.value = key, make()
        return self.value


class Chart(Widget, can_focus=True):
    """A title line with legend and values, then curves between axes. With the focus: a cursor that reads values."""

    DEFAULT_CSS = """
    Chart { height: 1fr; min-height: 1; }
    """
    BINDINGS = actions.bindings("chart")

    @dataclass
    class ViewChanged(Message):
        """A key changed axis, window, cursor, smoothing or scale. Hand `view` to the charts that move in step; fetch
        series anew when axis or window changed."""

        chart: Chart
        view: View

    @dataclass
    class LogWanted(Message):
        """Enter at the cursor: show the log at this x."""

        chart: Chart
        x: float

    def __init__(self, title: str, *, percent: bool = False, id: str | None = None, classes: str | None = None) -> None:
        """`percent`: values are shares 0–1, shown as per cent."""
        super().__init__(id=id, classes=classes)
        self.chart_title = title
        self.percent = percent
        self.curves: tuple[Curve, ...] = ()
        self._band: Band | None = None
        self._note = ""
        self._view = View()
        self._extent: tuple[float, float] | None = None
        self._span: tuple[float, float] | None = None
        self._end = ""
        self._smooth = _Latest[tuple[Curve, ...]]()
        self._laid = _Latest[list[list[Segment]]]()
        self._picture = _Latest[Picture]()
        self._drawn = _Latest[list[Strip]]()

    # What the screen tells the chart

    def show(self, curves: Sequence[Curve], band: Band | None = None, note: str = "") -> None:
        """Draw these curves; nothing is redrawn when they equal those on screen. `note` explains an empty chart."""
        content = (tuple(curves), band, note)
        if content != (self.curves, self._band, self._note):
            self.curves, self._band, self._note = content
            self._extent = self._seen()
            self.refresh()

    def spread(self, span: tuple[float, float] | None, end: str = "") -> None:
        """Reach at least this far in x: charts above each other share their columns, and a live curve grows towards
        the end of its run, which `end` puts into words."""
        if (span, end) != (self._span, self._end):
            self._span, self._end = span, end
            self._extent = self._seen()
            self.refresh()

    @property
    def view(self) -> View:
        return self._view

    def look(self, view: View) -> None:
        """Take over another chart's view, without a message."""
        if view != self._view:
            if view.axis is not self._view.axis:
                self._extent = None
            self._view = view
            self.refresh()

    @property
    def columns(self) -> int:
        """Columns worth asking of the index: two a cell."""
        return max(2, 2 * self.size.width)

    def values_at_cursor(self) -> list[tuple[Curve, float | None]]:
        """Each curve in the legend with its value at the cursor; without a cursor, its last value."""
        pairs = zip(self.curves, self._means(), strict=True)
        return [(curve, value_at(mean, self._view.cursor)) for curve, mean in pairs if not curve.quiet]

    def _means(self) -> tuple[Curve, ...]:
        """The curves, smoothed as the view asks for."""
        weight = self._view.smoothing
        return self._smooth.of((self.curves, weight), lambda: tuple(smoothed(curve, weight) for curve in self.curves))

    # Keys

    def _change(self, **changes: object) -> None:
        self.look(self._view._replace(**changes))  # type: ignore[arg-type]
        self.post_message(self.ViewChanged(self, self._view))

    def action_cursor(self, by: int) -> None:
        """To a place where a curve has a value, the next one where values are further apart than columns: what is read
        is a step, not something between two."""
        x, cursor = self.x_scale(), self._view.cursor
        places = sorted({at for curve in self.curves if not curve.quiet for at in curve.x if x.low <= at <= x.high})
        if not places:
            return
        if cursor is None:
            self._change(cursor=places[-1] if by < 0 else places[0])
            return
        wanted = x.value(max(0, min(x.dots - 1, x.dot(cursor) + by)))
        near = bisect.bisect_left(places, wanted)
        found = min(places[max(0, near - 1) : near + 1], key=lambda at: abs(at - wanted))
        if (found - cursor) * by <= 0:
            here = bisect.bisect_right(places, cursor) if by > 0 else bisect.bisect_left(places, cursor) - 1
            found = places[max(0, min(len(places) - 1, here))]
        self._change(cursor=found)

    def action_zoom(self, factor: float) -> None:
        """About the cursor, or the newest value."""
        x = self.x_scale()
        first, last = self._extent or (x.low, x.high)
        length = (x.high - x.low) * factor
        if length >= last - first:
            self._change(window=Window())
            return
        newest = max((curve.x[-1] for curve in self.curves if len(curve.x)), default=x.high)
        centre = self._view.cursor if self._view.cursor is not None else max(x.low, min(x.high, newest))
        share = (centre - x.low) / (x.high - x.low)
        self._go(centre - share * length, length)

    def action_pan(self, by: int) -> None:
        x = self.x_scale()
        length = x.high - x.low
        self._go(x.low + by * length / 4, length)

    def _go(self, low: float, length: float) -> None:
        """A window that reaches the last value is open there, so that a live curve goes on inside it."""
        first, last = self._extent or (low, low + length)
        low = max(first, min(low, last - length))
        if length < last - first:
            self._change(window=Window(low, None if low + length > last - length / 1000 else low + length))

    def action_reset(self) -> None:
        self._change(window=Window(), cursor=None)

    def action_smooth(self) -> None:
        place = SMOOTHINGS.index(self._view.smoothing) if self._view.smoothing in SMOOTHINGS else -1
        self._change(smoothing=SMOOTHINGS[(place + 1) % len(SMOOTHINGS)])

    def action_log(self) -> None:
        self._change(log=not self._view.log)

    def action_axis(self) -> None:
        axes = list(Axis)
        after = axes[(axes.index(self._view.axis) + 1) % len(axes)]
        self._change(axis=after, window=Window(), cursor=None)

    def action_log_here(self) -> None:
        if self._view.cursor is not None:
            self.post_message(self.LogWanted(self, self._view.cursor))

    # Drawing

    def _scene(self) -> Scene:
        return Scene(
            self.curves,
            self._band,
            self._view,
            self.percent,
            self.size.width,
            max(0, self.size.height - self._head_rows()),
            self._span,
            self._end,
        )

    def _head_rows(self) -> int:
        return len(self._legend(palette_of(self), glyphs_of(self)))

    def x_scale(self) -> Scale:
        """The x range on screen, one position a cell."""
        picture = self._painted(palette_of(self), glyphs_of(self))
        return Scale(picture.x.low, picture.x.high, picture.columns)

    def _seen(self) -> tuple[float, float] | None:
        """The widest x of this axis: while a window is open, the curves may hold no more than that."""
        ends = [(curve.x[0], curve.x[-1]) for curve in self.curves if len(curve.x)]
        ends += [self._span] if self._span is not None and ends else []
        if self._extent is not None and self._view.window != Window():
            ends.append(self._extent)
        if not ends:
            return None
        return min(first for first, _ in ends), max(last for _, last in ends)

    def render_lines(self, crop: Region) -> list[Strip]:
        """The picture is drawn once for all lines, and anew only when something it depends on changed."""
        base = self.rich_style
        key = (
            self._scene(),
            palette_of(self),
            glyphs_of(self),
            base,
            self.has_focus,
            self._note,
            self._heading,
        )
        width = self.size.width
        self._drawn.of(key, lambda: [strip.adjust_cell_length(width).apply_style(base) for strip in self._draw()])
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        lines = self._drawn.value or []
        return lines[y] if y < len(lines) else Strip.blank(self.size.width, self.rich_style)

    def _draw(self) -> list[Strip]:
        palette, glyphs = palette_of(self), glyphs_of(self)
        head = self._head(palette, glyphs)
        if not self._has_values():
            return [*head, Strip([]), Strip([Segment(" " * 8 + tr(self._note or "no values yet"), palette.quiet)])]
        if not self._has_room():
            return head
        return [*head, *self._painted(palette, glyphs).strips(self._view.cursor)]

    def _has_values(self) -> bool:
        return any(finite(value) for curve in self.curves for value in curve.last)

    def _has_room(self) -> bool:
        return self.size.height >= FEWEST_ROWS

    def _painted(self, palette: Palette, glyphs: Glyphs) -> Picture:
        """The picture without its cursor, drawn anew only when something else changed."""
        scene = self._scene()._replace(view=self._view._replace(cursor=None))
        key = (scene, palette, glyphs)
        return self._picture.of(key, lambda: Picture(scene, self._means(), palette, glyphs))

    def _head(self, palette: Palette, glyphs: Glyphs) -> list[Strip]:
        """Title, legend with values, and to the right what is not usual about the view."""
        state, lines = self._state(), self._legend(palette, glyphs)
        title = Style(bold=True, underline=self.has_focus)
        lines[0] = [Segment(" "), Segment(self._heading, palette.text + title), Segment("  "), *lines[0]]
        for entry in self._others(palette, glyphs):
            room = self.size.width - (cell_len(state) + 1 if len(lines) == 1 else 0)
            if Strip(lines[-1]).cell_length + cell_len("".join(part.text for part in entry).rstrip()) <= room:
                lines[-1] += entry
        room = max(0, self.size.width - cell_len(state) - 1)
        first = Strip(lines[0]).adjust_cell_length(room)
        state_strip = Strip([Segment(f" {state}", palette.quiet)])
        return [Strip.join([first, state_strip]), *(Strip([Segment(" "), *line]) for line in lines[1:])]

    def _state(self) -> str:
        view = self._view
        parts = [
            x_value(view.axis, view.cursor) if view.cursor is not None else "",
            _smoothing_label(view.smoothing),
            tr("log") if view.log else "",
            tr("zoomed") if view.window != Window() else "",
        ]
        return "  ".join(part for part in parts if part)

    def _legend(self, palette: Palette, glyphs: Glyphs) -> list[list[Segment]]:
        """Every curve that has a sign, in as many lines as the chart can spare: its picture keeps its room."""
        key = (self.curves, self._view, self.size, self.percent, self.chart_title, spoken(), palette, glyphs)
        return [list(line) for line in self._laid.of(key, lambda: self._lay_legend(palette, glyphs))]

    def _lay_legend(self, palette: Palette, glyphs: Glyphs) -> list[list[Segment]]:
        entries = [self._entry(curve, value, palette, glyphs) for curve, value in self.values_at_cursor()]
        first = self.size.width - cell_len(self._heading) - 4 - cell_len(self._state())
        most = max(1, min(MOST_LEGEND_ROWS, self.size.height - FEWEST_ROWS))
        reading = self._view.cursor is not None
        return laid(entries, first, self.size.width - 1, most, palette.quiet, glyphs.ellipsis, reading)

    def _others(self, palette: Palette, glyphs: Glyphs) -> Iterator[list[Segment]]:
        """What is not a curve with a sign: quiet ones, the band, the target; a sign and its word together."""
        quiet = sum(curve.quiet for curve in self.curves)
        if quiet > 1:
            yield [Segment(tr(f"{quiet} others  "), palette.quiet)]
        spread = next((curve for curve in self.curves if curve.spread is not None), None)
        if spread is not None and self._has_room():
            fill = palette.fills[spread.slot % len(palette.fills)]
            sign = f"{glyphs.block * 2}" if fill and not glyphs.curves.isascii() else glyphs.band * 2
            yield [Segment(sign, fill or palette.quiet), Segment(f" {tr('95 %')}  ", palette.quiet)]
        if self._band is not None:
            if self._has_room() and self._has_values() and self._painted(palette, glyphs).shows_band:
                yield [Segment(f"{tr(self._band.label)} {glyphs.band}  ", palette.quiet)]
            if self._band.target is not None:
                target = self._format_value(self._band.target)
                yield [Segment(f"{tr('target')} {target} {glyphs.target}{glyphs.target}  ", palette.quiet)]

    def _entry(self, curve: Curve, value: float | None, palette: Palette, glyphs: Glyphs) -> LegendEntry:
        line = glyphs.target * 2 if curve.dashed else glyphs.horizontal * 2
        what = "" if curve.label == self.chart_title else tr(curve.label)
        sign, style = glyphs.curves[curve.slot % 6], palette.run(curve.slot)
        return LegendEntry(sign, line, curve.run, what, self._format_value(value), style, palette.text)

    @property
    def _heading(self) -> str:
        """The title in the language that is spoken."""
        return tr(self.chart_title)

    def _format_value(self, value: float | None) -> str:
        if self.percent:
            return formats.percent(value)
        return "0" if value == 0 else formats.loss(value)


def _smoothing_label(smoothing: float | None) -> str:
    """What is not usual about the smoothing."""
    if smoothing is None:
        return ""
    return tr(f"smoothed {smoothing:g}" if smoothing else "each step")
