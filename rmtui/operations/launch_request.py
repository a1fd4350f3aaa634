"""A training as a person asks for it: the one thing that form, dialog, verb, T and advice hand to a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rmtui.presets import Preset
from rmtui.workspace import Workspace


@dataclass(frozen=True, slots=True)
class ClusterRequest:
    """What a launch says of its job; empty: the workspace's default."""

    nodes: int | None = None
    partition: str = ""
    time: str = ""
    account: str = ""
    cpus: int | None = None
    memory_mb: int | None = None
    chain: int | None = None
    """Further jobs, each to go on after the one before."""
    sbatch: tuple[str, ...] = ()


def usual_cluster(ws: Workspace) -> ClusterRequest | None:
    """Where a launch runs that does not say: a job, or this machine."""
    return ClusterRequest() if ws.settings.launcher else None


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """What was asked for; everything else has its default. Nothing is checked here: the plan names every mistake."""

    preset: Preset | str
    """A preset (a past run counts as one), or the letter, name or file of one."""
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Dotted key → value as typed: fields of a form, `--set key=value`."""
    data: str = ""
    """The data set that was asked for by name."""
    usual_data: str = ""
    """The one that fills the files that nobody named."""
    train: str = ""
    val: str = ""
    split: str = ""
    """Share of the training prompts that is held out as validation, as text; empty: none."""
    split_seed: str = ""
    extra_val: Mapping[str, str] = field(default_factory=dict)
    """Name → file of a further validation set."""
    model: str = ""
    procs: int | None = None
    devices: str = ""
    """`cpu`, or GPUs as in `0,3`."""
    name: str = ""
    tags: tuple[str, ...] = ()
    accelerate_config: str = ""
    cluster: ClusterRequest | None = None
    """A job of a Slurm cluster; None: this machine."""
    cwd: Path | None = None
    """Where typed paths start; None: the workspace."""

    def with_seeds(self, seeds: Sequence[int | str]) -> list[LaunchRequest]:
        """The same training once a seed; a given name ends in it."""
        return [
            replace(
                self,
                overrides={**self.overrides, "seed": str(seed)},
                name=f"{self.name}-seed{seed}" if self.name else "",
            )
            for seed in seeds
        ]
