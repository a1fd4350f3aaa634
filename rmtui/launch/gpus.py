"""The GPUs of this machine as a launch sees them: which are visible here, and which are busy with whose processes.

A GPU that is cut into MIG devices counts as these. CUDA shows a process only one of them, and NCCL joins none of them
with another: a run of one process may take one, a run of several may not (`rmtui.operations.plan` says so).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmtui.errors import UserError
from trainer.precision import Capability

DRIVER = Path("/dev/nvidiactl")
"""There where NVIDIA's driver is; the library is loaded only then."""


@dataclass(frozen=True, slots=True)
class Gpu:
    index: str
    """As nvidia-smi counts, in the order of the PCI bus; `0:1` is MIG device 1 of GPU 0."""
    uuid: str
    name: str = ""
    memory: int = 0
    """Bytes."""
    pids: tuple[int, ...] = ()
    """Processes that compute on it now, of whomever."""
    capability: Capability = (0, 0)
    """CUDA compute capability, of a part that of its GPU; (0, 0) where the driver does not say."""

    @property
    def mig(self) -> bool:
        """A part of a GPU."""
        return self.uuid.startswith("MIG-")


def gpus() -> list[Gpu]:
    """Every NVIDIA GPU of the machine, each MIG device in place of its GPU; none without a driver."""
    if not DRIVER.exists():
        return []
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return [gpu for number in range(pynvml.nvmlDeviceGetCount()) for gpu in _read(pynvml, number)]
    except pynvml.NVMLError:
        return []
    finally:
        pynvml.nvmlShutdown()


def _read(nvml: Any, number: int) -> Iterator[Gpu]:
    """One GPU, or its MIG devices; nothing where the GPU has fallen off the bus, so that the others still count."""
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(number)
        if not _is_cut(nvml, handle):
            yield _gpu(nvml, handle, str(number), handle)
            return
        for part in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
            try:
                mig = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, part)
            except nvml.NVMLError_NotFound:
                continue  # no device was made there
            yield _gpu(nvml, mig, f"{number}:{part}", handle)
    except nvml.NVMLError:
        return


def _is_cut(nvml: Any, handle: Any) -> bool:
    try:
        current, _ = nvml.nvmlDeviceGetMigMode(handle)
    except nvml.NVMLError:  # most GPUs know no such mode
        return False
    return bool(current == nvml.NVML_DEVICE_MIG_ENABLE)


def _gpu(nvml: Any, handle: Any, index: str, card: Any) -> Gpu:
    try:
        pids = tuple(process.pid for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle))
    except nvml.NVMLError:
        pids = ()
    memory = nvml.nvmlDeviceGetMemoryInfo(handle).total
    try:
        major, minor = nvml.nvmlDeviceGetCudaComputeCapability(card)
    except nvml.NVMLError:
        major, minor = 0, 0
    return Gpu(index, nvml.nvmlDeviceGetUUID(handle), nvml.nvmlDeviceGetName(handle), memory, pids, (major, minor))


def others_on(machine: Sequence[Gpu], devices: Sequence[str], ours: Collection[int]) -> dict[str, list[int]]:
    """The processes of others on the GPUs (by UUID) that one's own processes compute on, too.

    A driver that names none of our own processes there counts pids in another way (a container), and says nothing.
    """
    found = {gpu.uuid: [pid for pid in gpu.pids if pid not in ours] for gpu in machine if gpu.uuid in devices}
    named = any(pid in ours for gpu in machine if gpu.uuid in devices for pid in gpu.pids)
    return {uuid: pids for uuid, pids in found.items() if pids and named}


def visible(machine: Sequence[Gpu], listed: str | None = None) -> list[Gpu]:
    """Those that CUDA_VISIBLE_DEVICES leaves (a scheduler's allocation sets it too, or SLURM_STEP_GPUS names it)."""
    if listed is None:
        listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        listed = os.environ.get("SLURM_STEP_GPUS") or os.environ.get("SLURM_JOB_GPUS")
    if listed is None:
        return list(machine)
    found = []
    for word in filter(None, (part.strip() for part in listed.split(","))):
        fitting = [gpu for gpu in machine if named(gpu, word)]
        if not fitting:
            break  # CUDA ignores what follows an unknown device
        found += fitting
    return found


def named(gpu: Gpu, word: str) -> bool:
    """By index, or by the beginning of its UUID. The index of a GPU that is cut means its first part, as to CUDA."""
    return gpu.index in (word, f"{word}:0") or (word.startswith(("GPU-", "MIG-")) and gpu.uuid.startswith(word))


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


def capabilities(words: Sequence[str]) -> list[Capability]:
    """Of the named GPUs, or of every visible one where none is named."""
    here = visible(gpus())
    return [gpu.capability for gpu in (chosen(here, words) if words else here)]
