"""Adoption: a training whose supervisor died gets a new one."""

from __future__ import annotations

import signal
import time

from rmtui.launch import hooks, spawn
from rmtui.runs import identity, life, proc, state
from rmtui.runs.files import lock_held
from rmtui.runs.folder import RunFolder
from rmtui.workspace import Workspace

PATIENCE = 3.0
"""Seconds for a killed supervisor to be gone."""


def adopt_all(ws: Workspace) -> list[str]:
    """A new supervisor for every unsupervised training of the workspace; returns their ids.

    The app calls it at start and every few seconds: it looks at tagged processes only, whatever the number of runs.
    """
    if identity.copied_from(ws.root):
        return []
    hooks.found_ended(ws)
    return [run for run in sorted({process.run for process in proc.tagged()}) if adopt(ws, run)]


def adopt(ws: Workspace, run_id: str) -> bool:
    """A new supervisor for one run; False when it needs none."""
    run = RunFolder(ws.runs / run_id)
    last = run.last_attempt()
    if last is None or identity.copied_from(ws.root):
        return False
    now = state.attempt_status(run, last)
    if not now.state.alive or now.supervised:
        return False
    spawn.adopt(run, last.n)
    return True


def replace_silent(run: RunFolder) -> bool:
    """End a supervisor that holds its lock and does not work, so that another one can take over; whether it is gone.

    Only one of this user's, in this PID namespace, and the very process that its last beat names.
    """
    last = run.last_attempt()
    beat = life.supervisor_beat(last) if last else None
    if last is None or beat is None or beat.namespace != proc.pid_namespace():
        return False
    proc.signal(beat.process, signal.SIGKILL)
    until = time.monotonic() + PATIENCE
    while lock_held(last.lock) and time.monotonic() < until:
        time.sleep(0.02)
    return lock_held(last.lock) is False
