"""Load, memory and temperature of processors and GPUs, one device a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from rmtui import text as formats
from rmtui.app.widgets.cells import fit
from rmtui.app.widgets.glyphs import glyphs_of
from rmtui.app.widgets.palette import palette_of
from rmtui.translation import tr

BAR = 8
HOT = 85.0
"""Degrees Celsius from which a temperature is shown as a warning."""


@dataclass(frozen=True, slots=True)
class Device:
    """One device at one moment; None where it does not say."""

    name: str
    load: float | None
    """Share of its time that it was busy, 0–1."""
    used: float | None
    """Bytes."""
    total: float | None
    temperature: float | None = None


class DeviceLoad(Widget):
    """A line a device: name, bar and per cent, memory, temperature; redrawn only when a value changes."""

    DEFAULT_CSS = "DeviceLoad { height: auto; display: none; }"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._devices: tuple[Device, ...] = ()

    def show(self, devices: Sequence[Device]) -> None:
        """Show these readings; without any the widget takes no room."""
        if tuple(devices) != self._devices:
            layout = len(devices) != len(self._devices)
            self._devices = tuple(devices)
            self.display = bool(devices)
            self.refresh(layout=layout)

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        return len(self._devices)

    def render_line(self, y: int) -> Strip:
        strip = Strip(self._line(self._devices[y])) if y < len(self._devices) else Strip([])
        return strip.adjust_cell_length(self.size.width).apply_style(self.rich_style)

    @property
    def devices(self) -> tuple[Device, ...]:
        """What is shown."""
        return self._devices

    def _line(self, device: Device) -> list[Segment]:
        palette, glyphs = palette_of(self), glyphs_of(self)
        full = round(BAR * min(1.0, device.load or 0.0))
        load = f"{100 * device.load:3.0f} %" if device.load is not None else f"  {glyphs.dash}  "
        segments = [
            Segment(f" {fit(device.name, 6)} ", palette.quiet),
            Segment(glyphs.block * full, palette.live),
            Segment(glyphs.block_empty * (BAR - full), palette.quiet),
            Segment(f" {load}  ", palette.text),
        ]
        if device.used is not None and device.total:
            segments.append(Segment(tr(f"{formats.size(device.used)} of {formats.size(device.total)}  "), palette.text))
        if device.temperature is not None:
            tone = palette.warn if device.temperature >= HOT else palette.quiet
            segments.append(Segment(f"{device.temperature:.0f} °C", tone))
        return segments
