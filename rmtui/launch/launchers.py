"""Which launcher a run has. The module of a launcher is loaded when the first run of its kind asks for it."""

from __future__ import annotations

from rmtui.launch.launcher import Launcher
from rmtui.launch.this_machine import ThisMachine
from rmtui.runs import cluster_jobs
from rmtui.runs.folder import RunFolder
from rmtui.workspace import Workspace


def of(run: RunFolder) -> Launcher:
    """The launcher of a run."""
    return named(str(run.spec().get("launch", {}).get("kind", ThisMachine.kind)))


def named(kind: str) -> Launcher:
    """The launcher of a kind; this machine for kinds that nobody can start again (imported, an older word)."""
    if kind == "slurm":
        from rmtui.launch.slurm.slurm import Slurm

        return Slurm()
    return ThisMachine()


def look_at_jobs(ws: Workspace, *, at_once: bool = False) -> None:
    """Have every scheduler that holds a run of the workspace asked. One look at one folder where none does."""
    for kind in sorted(
        {job.kind for run in cluster_jobs.open_runs(ws.queue, ws.runs) if (job := cluster_jobs.read(run))}
    ):
        named(kind).look(ws, at_once=at_once)
