"""Load, memory and temperature of the machine's processors and GPUs: read anywhere, shown one device a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from rmtui.app.widgets import figures
from rmtui.app.widgets.glyphs import glyphs_of
from rmtui.app.widgets.palette import palette_of

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


def read_devices() -> tuple[Device, ...]:
    """The processors together, then each GPU. The load of the processors is that since the last call. Takes
    milliseconds (the driver's library is loaded at first), so call it in a worker."""
    import psutil

    memory = psutil.virtual_memory()
    cpu = Device("CPU", psutil.cpu_percent() / 100, memory.total - memory.available, memory.total)
    return (cpu, *_gpus())


def _gpus() -> list[Device]:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return [_gpu(pynvml.nvmlDeviceGetHandleByIndex(n), n) for n in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return []
    finally:
        pynvml.nvmlShutdown()


def _gpu(handle: object, number: int) -> Device:
    """Each figure by itself: cards of a partitioned or virtual kind refuse some of them."""
    import pynvml

    def ask(question: str, *more: int) -> object | None:
        try:
            return getattr(pynvml, question)(handle, *more)  # type: ignore[no-any-return]
        except pynvml.NVMLError:
            return None

    load, memory = ask("nvmlDeviceGetUtilizationRates"), ask("nvmlDeviceGetMemoryInfo")
    heat = ask("nvmlDeviceGetTemperature", pynvml.NVML_TEMPERATURE_GPU)
    return Device(
        f"GPU {number}",
        load.gpu / 100 if load is not None else None,  # type: ignore[attr-defined]
        float(memory.used) if memory is not None else None,  # type: ignore[attr-defined]
        float(memory.total) if memory is not None else None,  # type: ignore[attr-defined]
        float(heat) if heat is not None else None,  # type: ignore[arg-type]
    )


class DeviceLoad(Widget):
    """A line a device: name, bar and per cent, memory, temperature; redrawn only when a figure changes."""

    DEFAULT_CSS = "DeviceLoad { height: auto; }"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._devices: tuple[Device, ...] = ()

    def show(self, devices: Sequence[Device]) -> None:
        """Show these readings, rounded to what is displayed."""
        if tuple(devices) != self._devices:
            layout = len(devices) != len(self._devices)
            self._devices = tuple(devices)
            self.refresh(layout=layout)

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        return max(1, len(self._devices))

    def render_line(self, y: int) -> Strip:
        strip = Strip(self._line(self._devices[y])) if y < len(self._devices) else Strip([])
        return strip.adjust_cell_length(self.size.width).apply_style(self.rich_style)

    def _line(self, device: Device) -> list[Segment]:
        palette, glyphs = palette_of(self), glyphs_of(self)
        full = round(BAR * (device.load or 0.0))
        load = f"{100 * device.load:3.0f} %" if device.load is not None else f"  {glyphs.dash}  "
        segments = [
            Segment(f" {figures.fit(device.name, 6)} ", palette.quiet),
            Segment(glyphs.block * full, palette.live),
            Segment(glyphs.block_empty * (BAR - full), palette.quiet),
            Segment(f" {load}  ", palette.text),
        ]
        if device.used is not None and device.total:
            segments.append(Segment(f"{figures.size(device.used)} of {figures.size(device.total)}  ", palette.text))
        if device.temperature is not None:
            tone = palette.warn if device.temperature >= HOT else palette.quiet
            segments.append(Segment(f"{device.temperature:.0f} °C", tone))
        return segments
