"""What computes: the processor or GPU, the threads, the libraries and this program. Rounding depends on all of them."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import accelerate
import peft
import torch
import transformers
from accelerate.utils import parse_flag_from_env

from trainer.config import TrainConfig
from trainer.precision import Capability

CPU_FACTS = Path("/proc/cpuinfo")


def facts(device: torch.device) -> dict[str, Any]:
    """What has to be equal for the same numbers to come out, to the last bit."""
    return {
        "device": device_name(device),
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }


def gpu_capabilities() -> list[Capability]:
    """CUDA compute capabilities of the GPUs that this training may use; none on a CPU."""
    if parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_capability(number) for number in range(torch.cuda.device_count())]


def set_up(config: TrainConfig) -> None:
    """Process-wide switches that decide how torch rounds, and which of its kernels it takes."""
    torch.use_deterministic_algorithms(config.deterministic)
    torch.set_float32_matmul_precision("high" if config.tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = config.tf32
    torch.backends.cuda.enable_cudnn_sdp(False)  # it plans anew for each length, and nearly every pair has its own


def differences(then: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """Facts of two moments that differ, in words."""
    before, after = flat(then), flat(now)
    return [f"{key} was {before.get(key)}, now {value}" for key, value in after.items() if before.get(key) != value]


def flat(found: Mapping[str, Any]) -> dict[str, object]:
    """`facts` with each library beside the others; further keys are left out."""
    return {key: found.get(key) for key in ("device", "processor", "threads")} | dict(found.get("versions", {}))


def device_name(device: torch.device) -> str:
    """`cpu`, or the GPU's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def processor() -> str:
    """The CPU's name and the instructions that torch uses on it."""
    lines = CPU_FACTS.read_text().splitlines() if CPU_FACTS.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{next(named, platform.machine())}, {torch.backends.cpu.get_cpu_capability()}"


def versions() -> dict[str, str]:
    """The libraries that compute, and the trainer itself."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
        "accelerate": accelerate.__version__,
        "trainer": program(),
    }


@cache
def program() -> str:
    """12 hex digits of the trainer's source as it was when first asked for."""
    total = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        total.update(path.read_bytes())
    return total.hexdigest()[:12]
