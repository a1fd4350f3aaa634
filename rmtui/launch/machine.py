"""The GPUs of this machine as a launch sees them: which are visible here, and which are busy with whose processes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rmtui.errors import UserError


@dataclass(frozen=True, slots=True)
class Gpu:
    index: str
    """As nvidia-smi counts, in the order of the PCI bus."""
    uuid: str
    name: str = ""
    memory: int = 0
    """Bytes."""
    pids: tuple[int, ...] = ()
    """Processes that compute on it now, of whomever."""


def gpus() -> list[Gpu]:
    """Every NVIDIA GPU of the machine; none without a driver. The library is loaded only where a driver is."""
    if not Path("/dev/nvidiactl").exists():
        return []
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return [_gpu(pynvml, number) for number in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return []
    finally:
        pynvml.nvmlShutdown()


def _gpu(nvml: object, number: int) -> Gpu:
    import pynvml

    handle = pynvml.nvmlDeviceGetHandleByIndex(number)
    try:
        pids = tuple(process.pid for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle))
    except pynvml.NVMLError:
        pids = ()
    return Gpu(
        str(number),
        pynvml.nvmlDeviceGetUUID(handle),
        pynvml.nvmlDeviceGetName(handle),
        pynvml.nvmlDeviceGetMemoryInfo(handle).total,
        pids,
    )


def visible(machine: Sequence[Gpu], said: str | None = None) -> list[Gpu]:
    """Those that CUDA_VISIBLE_DEVICES leaves (a scheduler's allocation sets it too, or SLURM_STEP_GPUS names it)."""
    if said is None:
        said = os.environ.get("CUDA_VISIBLE_DEVICES")
    if said is None:
        said = os.environ.get("SLURM_STEP_GPUS") or os.environ.get("SLURM_JOB_GPUS")
    if said is None:
        return list(machine)
    found = []
    for word in filter(None, (part.strip() for part in said.split(","))):
        fitting = [gpu for gpu in machine if named(gpu, word)]
        if not fitting:
            break  # CUDA ignores what follows an unknown device
        found += fitting
    return found


def named(gpu: Gpu, word: str) -> bool:
    return word == gpu.index or (word.startswith("GPU-") and gpu.uuid.startswith(word))


def chosen(machine: Sequence[Gpu], words: Sequence[str]) -> list[Gpu]:
    """The GPUs that a person named, by index or UUID; UserError names those that are not there."""
    found = []
    for word in words:
        fitting = [gpu for gpu in machine if named(gpu, word)]
        if not fitting:
            here = ", ".join(gpu.index for gpu in machine) or "none"
            raise UserError(f"there is no GPU {word}", f"visible here: {here}", "name one of these, or `cpu`")
        found += fitting
    return found
