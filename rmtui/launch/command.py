"""The command line that starts a training: `accelerate launch` with every number given, and the environment beside it.

What is not said, accelerate guesses: `--cpu --num_processes 2` runs one process, port 29500 is checked and then bound,
and the user's default_config.yaml may choose other GPUs.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trainer
from rmtui.launch import accelerate_config, gpus
from rmtui.runs.proc import SLOTS, TAG
from rmtui.runs.state import GRACE
from trainer import precision

PLAIN_CONFIG = Path(__file__).with_name("accelerate.yaml")
TRAINER = ("-m", "trainer")
"""The trainer's command after the interpreter; spec.toml carries it as [trainer] command."""
LAUNCHER = (sys.executable, "-m", "accelerate.commands.launch")
SHUTDOWN_MARGIN = 30.0
"""torchelastic kills ranks this much later than the supervisor does, so that one clock alone decides."""


@dataclass(frozen=True, slots=True)
class Job:
    """What decides the command line."""

    processes: int = 1
    kind: str = "cpu"
    """cpu or gpu."""
    devices: tuple[str, ...] = ()
    """GPU indices or UUIDs that the run occupies."""
    mixed_precision: str = "no"
    """no, bf16 or fp16."""
    accelerate_config: str = ""
    trainer: tuple[str, ...] = TRAINER
    grace: float = GRACE
    """Seconds that a stopping training has for its checkpoint."""
    machines: int = 1
    machine: int = 0
    """Which of them this is, from 0."""
    address: str = ""
    """Host and port at which several machines meet."""
    launcher: str = "accelerate"
    """accelerate, or direct: the trainer's command alone, one process, for a trainer that needs no accelerate."""


@dataclass(frozen=True, slots=True)
class Command:
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Set beside the caller's environment."""

    @property
    def line(self) -> str:
        """As one would type it."""
        words = [f"{key}={shlex.quote(value)}" for key, value in self.environment.items()]
        argv = self.argv
        if argv[:3] == LAUNCHER:
            argv = ("accelerate", "launch", *argv[3:])
        return " ".join([*words, *map(shlex.quote, argv)])


def job_of(spec: Mapping[str, Any], devices: Sequence[str] = (), before: str = "") -> Job:
    """The job that spec.toml describes, on these devices; `before`: the precision of a checkpoint to resume from."""
    launch, train = spec.get("launch", {}), spec.get("trainer", {})
    return Job(
        processes=int(launch.get("processes", 1)),
        kind=str(launch.get("device", "cpu")),
        devices=tuple(devices),
        mixed_precision=_precision(spec, devices, before),
        accelerate_config=str(launch.get("accelerate_config", "")),
        trainer=tuple(train.get("command", TRAINER)),
        grace=float(launch.get("grace", GRACE)),
        machines=int(launch.get("machines", 1)),
        address=str(launch.get("address", "")),
        launcher=str(train.get("launcher", "accelerate")),
    )


def _precision(spec: Mapping[str, Any], devices: Sequence[str], before: str) -> str:
    """The format by the GPUs here; the trainer goes by the same rule where it trains, and its word counts."""
    asked = str(spec.get("config", {}).get("mixed_precision", "no"))
    if asked != precision.AUTO:
        return asked
    kind = spec.get("launch", {}).get("device", "cpu")
    return precision.resolve(asked, gpus.capabilities(devices) if kind == "gpu" else [], before)


def command(job: Job, run: str, attempt: str, *, resume: str = "", force: bool = False) -> Command:
    """The line for a run folder and attempt folder; both are only quoted, so a preview may hand in names."""
    program = [*job.trainer]
    if program[:1] == ["-m"] and job.launcher == "direct":
        program = [sys.executable, *program]
    options = ["--config", f"{run}/spec.toml", "--run-dir", run, "--attempt-dir", attempt]
    if resume:
        options += ["--resume", resume]
    options += ["--force"] if force else []
    return Command((*_launcher(job), *program, *options), environment(job))


def _launcher(job: Job) -> list[str]:
    if job.launcher == "direct":
        return []
    line = [*LAUNCHER]
    if job.accelerate_config:
        line += ["--config_file", job.accelerate_config]
        one = accelerate_config.read(job.accelerate_config).kind in accelerate_config.SINGLE
        line += ["--multi_gpu"] if job.processes > 1 and one else []
    elif job.kind == "cpu" and job.processes == 1:
        line += ["--cpu"]
    else:
        line += ["--config_file", str(PLAIN_CONFIG)]
        line += ["--multi_gpu"] if job.processes > 1 else []
    line += ["--num_processes", str(job.processes), "--num_machines", str(job.machines)]
    line += ["--mixed_precision", job.mixed_precision, "--dynamo_backend", "no"]
    if job.machines > 1:
        return [*line, *_meeting(job)]
    return [*line, "--main_process_port", "0"] if job.processes > 1 or job.accelerate_config else line


def _meeting(job: Job) -> list[str]:
    """How the launchers of several machines find each other; the first one keeps the meeting place."""
    host, _, port = job.address.rpartition(":")
    line = ["--machine_rank", str(job.machine), "--main_process_ip", host, "--main_process_port", port]
    return [*line, "--rdzv_backend", "c10d", "--rdzv_conf", f"is_host={int(job.machine == 0)}"]


def environment(job: Job) -> dict[str, str]:
    """What the training needs in its environment, the run's tag aside."""
    env = {"OMP_NUM_THREADS": str(threads(job.processes // job.machines))}
    if job.kind == "cpu":
        env["ACCELERATE_USE_CPU"] = "true"
    elif job.devices:
        env |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(job.devices)}
    if job.launcher == "accelerate" and job.processes > 1:
        env["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] = str(int(job.grace + SHUTDOWN_MARGIN))
    return env


def threads(processes: int) -> int:
    """Threads a rank: what the caller's OMP_NUM_THREADS says, else the cores of this process shared evenly."""
    setting = os.environ.get("OMP_NUM_THREADS", "")
    if setting.isdigit() and int(setting) > 0:
        return int(setting)
    return max(1, len(os.sched_getaffinity(0)) // max(1, processes))


def full_environment(command: Command, tag: str, slots: Sequence[str]) -> dict[str, str]:
    """The caller's environment with the command's, the run's tag, and this trainer first on the import path."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("RMTUI_")}
    here = str(Path(trainer.__file__).resolve().parent.parent)
    path = [here, *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    extra = {"PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(path), TAG: tag, SLOTS: ",".join(slots)}
    return {**env, **command.environment, **extra}
