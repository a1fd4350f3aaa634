"""Adoption: a training whose supervisor died gets a new one."""

from __future__ import annotations

from rmtui.launch import spawn
from rmtui.runs import proc, state
from rmtui.runs.folder import RunFolder
from rmtui.workspace import Workspace


def adopt_all(ws: Workspace) -> list[str]:
    """A new supervisor for every unsupervised training of the workspace; returns their ids.

    The app calls it at start and every few seconds: it looks at tagged processes only, whatever the number of runs.
    """
    return [run for run in sorted({process.run for process in proc.tagged()}) if adopt(ws, run)]


def adopt(ws: Workspace, run_id: str) -> bool:
    """A new supervisor for one run; False when it needs none."""
    run = RunFolder(ws.runs / run_id)
    last = run.last_attempt()
    if last is None:
        return False
    now = state.attempt_status(run, last)
    if not now.state.alive or now.supervised:
        return False
    spawn.adopt(run, last.n)
    return True
