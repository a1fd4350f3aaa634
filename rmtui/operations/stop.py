"""Stopping runs, and asking a running one for its stacks."""

from __future__ import annotations

import time
from collections.abc import Callable

from rmtui.errors import UserError
from rmtui.launch import process
from rmtui.operations.adopt import adopt, replace_silent
from rmtui.operations.declare import person
from rmtui.runs import identity, life, queue_tickets, state
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import State, Status
from rmtui.workspace import Workspace

POLL = 0.1


def stop(
    ws: Workspace, run_id: str, *, now: bool = False, wait: bool = False, said: Callable[[Status], None] | None = None
) -> Status:
    """Ask a run to stop: it saves a checkpoint and ends; `now` kills at once. A queued run leaves the queue.

    Adopts a run whose supervisor died. With `wait`, returns when no process of the run is left; `said` hears each
    change of the status's words. A run that has ended is left as it is and its status returned.
    """
    identity.refuse_copy(ws.root)
    run = RunFolder(ws.runs / run_id)
    before = state.status(run)
    if before.state == State.QUEUED:
        _leave_queue(ws, run)
        before = state.status(run)  # it may have started a moment ago
    if before.state == State.UNKNOWN:
        remedy = f"stop it where it runs; if you know that it does not run: rmtui resume {run_id} --not-running"
        raise UserError(f"{run_id} cannot be stopped from here", before.reason, remedy)
    if not before.state.alive:
        return before
    if not before.reachable:
        raise UserError(f"{run_id} cannot be stopped from here", before.reason, "stop it where it runs")
    replaced = not before.silent or replace_silent(run)
    adopt(ws, run_id)
    try:
        run.request_stop(now, person())
    except OSError as error:
        raise UserError(f"{run_id} was not asked to stop", str(error), "make room and try again", 1) from error
    if not replaced:
        _without_supervisor(run, now)
    return _until_ended(ws, run, said) if wait else state.status(run)


def _without_supervisor(run: RunFolder, now: bool) -> None:
    """A supervisor hangs, and the kernel does not let it die: with `now` the training is killed all the same."""
    last = run.last_attempt()
    if not now or last is None:
        why = "its supervisor hangs and cannot be replaced"
        raise UserError(f"{run.id} does not hear a stop", why, f"kill the training: rmtui stop {run.id} --now", 1)
    process.kill(life.processes(last, last.launch()))


def _leave_queue(ws: Workspace, run: RunFolder) -> None:
    """Take a run out of the line if it still waits."""
    with queue_tickets.turn(ws.queue):
        if state.status(run).state == State.QUEUED:
            if run.last_attempt() is None:
                run.request_stop(False, person())
            queue_tickets.remove(ws.queue, run.id)


def _until_ended(ws: Workspace, run: RunFolder, report: Callable[[Status], None] | None) -> Status:
    last = None
    while (now := state.status(run)).state.alive:
        if report is not None and now != last:
            report(now)
        last = now
        if not now.supervised:
            adopt(ws, run.id)
        time.sleep(POLL)
    return now


def stacks(ws: Workspace, run_id: str) -> None:
    """Have every rank write its Python stacks into its log."""
    identity.refuse_copy(ws.root)
    run = RunFolder(ws.runs / run_id)
    now = state.status(run)
    if not now.state.alive:
        raise UserError(f"{run_id} has no processes", f"it is {now.state}", "its logs hold what it said last")
    adopt(ws, run_id)
    run.request_stacks(person())
