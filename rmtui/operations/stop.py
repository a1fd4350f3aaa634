"""Stopping runs, and asking a running one for its stacks."""

from __future__ import annotations

import time
from collections.abc import Callable

from rmtui.errors import UserError
from rmtui.launch import launchers
from rmtui.launch.launcher import Launcher
from rmtui.operations.declare import person
from rmtui.runs import identity, state
from rmtui.runs.files import lock_held
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import State, Status
from rmtui.workspace import Workspace

POLL = 0.1
PROOF = 10.0
"""Seconds that a stop waits for the last of an ended run to be gone."""
MAKE_ROOM = "see that the disk has room and that you may write in its folder, then try again"


def stop(
    ws: Workspace, run_id: str, *, now: bool = False, wait: bool = False, said: Callable[[Status], None] | None = None
) -> Status:
    """Ask a run to stop: it saves a checkpoint and ends; `now` kills at once. A queued run leaves the queue.

    Adopts a run whose supervisor died. With `wait`, returns when no process of the run is left; `said` hears each
    change of the status's words. A run that has ended is left as it is and its status returned.
    """
    identity.refuse_copy(ws.root)
    run = RunFolder(ws.runs / run_id)
    _check_ours(run)
    launcher = launchers.of(run)
    launcher.look(ws, at_once=True)
    before = state.status(run)
    if before.state == State.QUEUED:
        launcher.withdraw(ws, run, person())
        before = state.status(run)  # it may have started a moment ago
    if before.state == State.UNKNOWN:
        remedy = f"stop it where it runs; if you know that it is not running: rmtui resume {run_id} --not-running"
        raise UserError(f"{run_id} cannot be stopped from here", before.reason, remedy)
    if not before.state.alive:
        return before
    try:
        launcher.stop(ws, run, now=now, by=person())
    except OSError as error:
        raise UserError(f"{run_id} was not asked to stop", error.strerror or str(error), MAKE_ROOM, 1) from error
    return _until_ended(ws, run, launcher, said) if wait else state.status(run)


def _until_ended(ws: Workspace, run: RunFolder, launcher: Launcher, report: Callable[[Status], None] | None) -> Status:
    last = None
    while (now := state.status(run)).state.alive:
        if report is not None and now != last:
            report(now)
        last = now
        if not now.supervised:
            launcher.attend(ws, run)
        launcher.look(ws)
        time.sleep(POLL)
    _until_nothing_remains(run, launcher)
    return now


def _check_ours(run: RunFolder) -> None:
    """A training that `rmtui watch` follows has no process here."""
    if lock_held(run.watched):
        raise UserError(
            f"{run.id} was started elsewhere", "rmtui watch only reads its log", "stop it where it was started"
        )


def _until_nothing_remains(run: RunFolder, launcher: Launcher) -> None:
    """An end that was written is followed by the proof of it, within seconds; what takes longer is not waited for."""
    last, until = run.last_attempt(), time.monotonic() + PROOF
    while last is not None and launcher.remains(run, last) and time.monotonic() < until:
        time.sleep(POLL)


def stacks(ws: Workspace, run_id: str) -> None:
    """Have every rank write its Python stacks into its log."""
    identity.refuse_copy(ws.root)
    run = RunFolder(ws.runs / run_id)
    _check_ours(run)
    now = state.status(run)
    if not now.state.alive:
        raise UserError(f"{run_id} has no processes", f"it is {now.state}", "its logs show what it printed last")
    launchers.of(run).attend(ws, run)
    run.request_stacks(person())
