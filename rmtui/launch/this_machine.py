"""The launcher of this machine: a ticket, a process that waits with it and then supervises, locks and signals."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

from rmtui.errors import UserError
from rmtui.launch import process, slots, spawn
from rmtui.launch.launcher import Start
from rmtui.runs import identity, life, proc, queue_tickets, state
from rmtui.runs.files import lock_held
from rmtui.runs.folder import AttemptFolder, RunFolder
from rmtui.runs.model import State
from rmtui.workspace import Workspace

PATIENCE = 3.0
"""Seconds for a killed supervisor to be gone."""


class ThisMachine:
    """Trainings as processes of this machine."""

    kind = "local"

    def submit(self, ws: Workspace, run: RunFolder, start: Start) -> None:
        needs = slots.needs_of(run.spec())
        queue_tickets.add(ws.queue, run.id, start.attempt, needs, start.checkpoint, start.inexact)
        try:
            spawn.wait_in_line(ws, run, start.attempt)
        except (OSError, subprocess.SubprocessError):
            queue_tickets.remove(ws.queue, run.id)
            raise

    def look(self, ws: Workspace, *, at_once: bool = False) -> None:
        """Locks and processes are looked at each time a state is asked for."""

    def withdraw(self, ws: Workspace, run: RunFolder, by: str) -> None:
        with queue_tickets.turn(ws.queue):
            if state.status(run).state == State.QUEUED:
                if run.last_attempt() is None:
                    run.request_stop(False, by)
                queue_tickets.remove(ws.queue, run.id)

    def stop(self, ws: Workspace, run: RunFolder, *, now: bool, by: str) -> None:
        before = state.status(run)
        if not before.reachable:
            raise UserError(f"{run.id} cannot be stopped from here", before.reason, "stop it where it runs")
        replaced = not before.silent or _replace_silent(run)
        self.attend(ws, run)
        run.request_stop(now, by)
        if not replaced:
            _without_supervisor(run, now)

    def attend(self, ws: Workspace, run: RunFolder) -> bool:
        last = run.last_attempt()
        if last is None or identity.copied_from(ws.root):
            return False
        now = state.attempt_status(run, last)
        if not now.state.alive or now.supervised:
            return False
        spawn.adopt(run, last.n)
        return True

    def logs(self, attempt: AttemptFolder) -> list[Path]:
        return sorted(path for path in attempt.logs.glob("launch*.log") if path.is_file())

    def remains(self, run: RunFolder, attempt: AttemptFolder) -> str:
        found = life.processes(attempt, attempt.launch())
        return ", ".join(f"pid {each.proc.pid}" for each in found)


def _replace_silent(run: RunFolder) -> bool:
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


def _without_supervisor(run: RunFolder, now: bool) -> None:
    """A supervisor hangs, and the kernel does not let it die: with `now` the training is killed all the same."""
    last = run.last_attempt()
    if not now or last is None:
        why = "its supervisor hangs and cannot be replaced"
        raise UserError(f"{run.id} does not react to a stop", why, f"kill the training: rmtui stop {run.id} --now", 1)
    process.kill(life.processes(last, last.launch()))
