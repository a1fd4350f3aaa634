"""Curves of a metric against step, epoch, tokens or time. Charts that move together are given the same `View`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.message import Message
from textual.widget import Widget

from rmtui.app.widgets.curves import Band, Curve, View


class Chart(Widget, can_focus=True):
    """Keys: h/l (cursor), + - 0 (zoom), [ ] (pan), e (smoothing), o (log scale), x (axis), enter (log at the cursor)."""

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

    def show(self, curves: Sequence[Curve], band: Band | None = None, note: str = "") -> None:
        """Draw these curves; nothing is redrawn when they equal those on screen. `note` explains an empty chart."""

    @property
    def view(self) -> View:
        return View()

    def look(self, view: View) -> None:
        """Take over another chart's view, without a message."""

    @property
    def columns(self) -> int:
        """Columns worth asking of the index: two a cell."""
        return 2 * self.size.width
