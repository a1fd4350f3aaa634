"""Load, memory and temperature of this machine's devices, read in a worker while someone looks at a running run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from textual.message import Message

from rmtui.app.widgets import figures


@dataclass(frozen=True, slots=True)
class Load:
    """One device now. Bytes; load 0–1; degrees Celsius."""

    name: str
    load: float | None
    used: int
    total: int
    celsius: float | None = None


@dataclass
class Loads(Message):
    loads: tuple[Load, ...]


def look() -> Loads:
    """GPUs first, then the processors; what the machine does not tell is None."""
    return Loads((*_gpus(), _cpu()))


def _cpu() -> Load:
    import psutil

    memory = psutil.virtual_memory()
    return Load(f"CPU ×{psutil.cpu_count()}", psutil.cpu_percent(None) / 100, memory.used, memory.total, _cpu_heat())


def _cpu_heat() -> float | None:
    import psutil

    found = psutil.sensors_temperatures() if hasattr(psutil, "sensors_temperatures") else {}
    heats = [sensor.current for name in ("coretemp", "k10temp", "cpu_thermal") for sensor in found.get(name, ())]
    return max(heats, default=None)


def _gpus() -> tuple[Load, ...]:
    if not Path("/dev/nvidiactl").exists():
        return ()
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        return tuple(_gpu(number) for number in range(pynvml.nvmlDeviceGetCount()))
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()


def _gpu(number: int) -> Load:
    import pynvml

    handle = pynvml.nvmlDeviceGetHandleByIndex(number)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    load = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
    heat = pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)
    return Load(f"GPU {number}", load, memory.used, memory.total, float(heat))


def words(load: Load) -> str:
    """`GPU 0  87 %  11.2 of 24.0 GB  61 °C`."""
    parts = [load.name]
    parts += [f"{load.load * 100:.0f} %"] if load.load is not None else []
    parts += [f"{figures.size(load.used)} of {figures.size(load.total)}"]
    parts += [f"{load.celsius:.0f} °C"] if load.celsius is not None else []
    return "  ".join(parts)
