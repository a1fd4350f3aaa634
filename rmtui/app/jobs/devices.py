"""Load, memory and temperature of this machine's devices, read in a worker while someone looks at a running run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual.message import Message

from rmtui.app.widgets.device_load import Device

HEAT_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal")
"""Drivers that tell a processor's temperature."""
CPU_SECONDS = 0.2
"""Over which the load of the processors is measured."""


@dataclass
class Loads(Message):
    """The devices at one moment."""

    devices: tuple[Device, ...]


def look() -> Loads:
    """Each GPU, then the processors together."""
    return Loads((*_gpus(), _cpu()))


def _cpu() -> Device:
    import psutil

    memory = psutil.virtual_memory()
    return Device(
        "CPU", psutil.cpu_percent(CPU_SECONDS) / 100, memory.total - memory.available, memory.total, _cpu_heat()
    )


def _cpu_heat() -> float | None:
    import psutil

    found = psutil.sensors_temperatures() if hasattr(psutil, "sensors_temperatures") else {}
    heats = [sensor.current for name in HEAT_SENSORS for sensor in found.get(name, ())]
    return max(heats, default=None)


def _gpus() -> Iterator[Device]:
    if not Path("/dev/nvidiactl").exists():
        return
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return
    try:
        for number in range(pynvml.nvmlDeviceGetCount()):
            yield _gpu(pynvml.nvmlDeviceGetHandleByIndex(number), number)
    except pynvml.NVMLError:
        return
    finally:
        pynvml.nvmlShutdown()


def _gpu(handle: Any, number: int) -> Device:
    """Each value by itself: cards of a partitioned or virtual kind refuse some of them."""
    import pynvml

    def ask(question: str, *more: int) -> Any:
        try:
            return getattr(pynvml, question)(handle, *more)
        except pynvml.NVMLError:
            return None

    load, memory = ask("nvmlDeviceGetUtilizationRates"), ask("nvmlDeviceGetMemoryInfo")
    heat = ask("nvmlDeviceGetTemperature", pynvml.NVML_TEMPERATURE_GPU)
    return Device(
        f"GPU {number}",
        None if load is None else load.gpu / 100,
        None if memory is None else memory.used,
        None if memory is None else memory.total,
        heat,
    )
