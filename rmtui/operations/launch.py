"""Launching: a plan (`rmtui.operations.plan`) becomes a run folder, a place in the queue and a waiting supervisor."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

from rmtui.errors import UserError
from rmtui.launch import provenance, spawn
from rmtui.operations.adopt import adopt
from rmtui.operations.plan import Plan, fresh_name, plan
from rmtui.runs import queue_tickets, state
from rmtui.runs.files import check_locks
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import State, Status
from rmtui.runs.queue_tickets import Needs
from rmtui.workspace import Workspace

__all__ = ["Plan", "plan", "prepare", "start", "wait"]

POLL = 0.25
FIX = "fix these and launch again"


def start(ws: Workspace, plan: Plan, *, accept_warnings: bool = True, remedy: str = "") -> str:
    """Write the run folder, queue the run and start its waiting supervisor; returns the run's id.

    UserError lists every error of the plan (and its warnings, unless they are accepted). The run starts at once when
    its devices are free.
    """
    refused = plan.errors if accept_warnings else plan.problems
    if refused:
        said = "\n  ".join(["", *map(str, refused)])
        raise UserError("the launch was refused before anything started", said.rstrip(), remedy or FIX)
    return enqueue(ws, prepare(ws, plan), plan.needs)


def prepare(ws: Workspace, plan: Plan) -> RunFolder:
    """The run folder of a plan, complete on disk, not queued yet."""
    config = plan.spec["config"]
    spec = {**plan.spec, **provenance.facts(ws.root, config.get("data", {}))}
    try:
        if plan.stem:
            spec["name"] = fresh_name(ws, plan.stem)
        check_locks(ws.queue)
        run = RunFolder.create(ws.runs, spec)
        if plan.tags:
            run.set_meta(tags=list(plan.tags))
    except OSError as error:
        raise UserError(
            "the run folder was not made", str(error), f"make room or get write access to {ws.runs}", exit_code=1
        ) from error
    return run


def enqueue(ws: Workspace, run: RunFolder, needs: Needs) -> str:
    """A ticket for a run's first attempt, and the process that waits with it; returns the run's id."""
    try:
        check_locks(ws.queue)
        with queue_tickets.turn(ws.queue):
            queue_tickets.add(ws.queue, run.id, 1, needs)
    except OSError as error:
        raise _not_queued(run, error) from error
    return start_waiting(ws, run, 1)


def start_waiting(ws: Workspace, run: RunFolder, attempt: int) -> str:
    """The process that waits with a run's ticket; returns the run's id."""
    try:
        spawn.wait_in_line(ws, run, attempt)
    except (OSError, subprocess.SubprocessError) as error:
        queue_tickets.remove(ws.queue, run.id)
        raise _not_queued(run, error) from error
    return run.id


def _not_queued(run: RunFolder, error: Exception) -> UserError:
    return UserError(f"{run.id} was not queued", str(error), f"fix that, then: rmtui resume {run.id}", exit_code=1)


def wait(ws: Workspace, run_id: str, said: Callable[[Status], None] | None = None) -> Status:
    """Until nothing more happens without a person; `said` hears each change. Ctrl-C ends the waiting, never the run."""
    run, last = RunFolder(ws.runs / run_id), None
    while True:
        now = state.status(run)
        if said is not None and (last is None or now.state != last.state):
            said(now)
        last = now
        if now.state.final or now.state == State.UNKNOWN or (now.state == State.QUEUED and not now.supervised):
            return now
        if now.state.alive and not now.supervised:
            adopt(ws, run_id)
        time.sleep(POLL)
