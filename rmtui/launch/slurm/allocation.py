"""What a job asks for: [launch] of the spec.toml of a run on Slurm, typed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

MARGIN = 60
"""Seconds that Slurm's warning may come early (man sbatch, --signal)."""
FIRST_PORT, PORTS = 20_000, 20_000
"""Where the ranks of several nodes meet; the site has to let them."""

MEMORY = re.compile(r"mem(-per-[cg]pu)?=")
"""An option of sbatch that asks for memory."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """Fields of [launch]; empty or 0: the site's default."""

    processes: int
    """In all, shared evenly by the nodes."""
    nodes: int
    device: str
    """cpu or gpu."""
    cpus: int
    """Cores a process."""
    grace: float
    """Seconds that a stopping training has for its checkpoint."""
    warn: int
    """Seconds before the time limit at which Slurm warns."""
    chain: int = 0
    """Further jobs that are submitted with it, each to go on after the one before; 0: it is requeued."""
    kind: str = "slurm"
    memory_mb: int = 0
    """Of a node."""
    gpus: int = 0
    """Of a node."""
    gpu_option: str = ""
    partition: str = ""
    time: str = ""
    limit: str = ""
    """The partition's own, where no time is asked for, as Slurm writes it."""
    account: str = ""
    sbatch: list[str] = field(default_factory=list)
    srun: list[str] = field(default_factory=list)
    wrap: str = ""
    prologue: str = ""
    devices: list[str] = field(default_factory=list)
    """None: Slurm chooses them."""
    accelerate_config: str = ""

    @property
    def ranks(self) -> int:
        """Processes of a node."""
        return self.processes // self.nodes

    @property
    def cores(self) -> int:
        """Of a node."""
        return self.cpus * self.ranks

    @property
    def memory(self) -> str:
        """An option of sbatch that a person asks for memory by, in place of `memory_mb`; empty: none."""
        return next((text for text in self.sbatch if MEMORY.match(text)), "")

    def gpu_options(self) -> list[str]:
        """How GPUs are asked for, of sbatch and again of srun, which inherits neither cores nor GPUs."""
        if not self.gpus:
            return []
        return [f"--gres=gpu:{self.gpus}" if self.gpu_option == "gres" else f"--gpus-per-node={self.gpus}"]

    def srun_line(self, nodes: int) -> list[str]:
        """The head of the command that starts one process a node. srun inherits neither the cores nor the GPUs of the
        job's head, and of its environment nothing where the job was submitted with --export=NONE."""
        line = ["srun", "--mpi=none", "--export=ALL", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
        line += [f"--cpus-per-task={self.cores}", *self.gpu_options(), "--kill-on-bad-exit=0", "--wait=0"]
        return [*line, *self.srun]

    def needs(self) -> str:
        """`2 nodes × 4 GPUs in partition long`."""
        unit, count = ("GPU", self.gpus) if self.gpus else ("core", self.cores)
        where = f" in partition {self.partition}" if self.partition else ""
        return f"{self.nodes} node{'s' * (self.nodes > 1)} × {count} {unit}{'s' * (count > 1)}{where}"


def warning(stop_seconds: float) -> int:
    """Seconds before the time limit at which a job that takes so long to stop has to be warned."""
    return math.ceil(stop_seconds) + MARGIN


def of(launch: Mapping[str, object]) -> Allocation:
    """From spec.toml, whose types were checked when it was read. KeyError or TypeError where a field is missing."""
    known = {item.name for item in fields(Allocation)}
    return Allocation(**{key: value for key, value in launch.items() if key in known})  # type: ignore[arg-type]
