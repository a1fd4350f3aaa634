"""Launching: a plan (`rmtui.operations.plan`) becomes a run folder, a place in the queue and a waiting supervisor."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping

from rmtui.errors import UserError
from rmtui.index import settings
from rmtui.launch import launchers, provenance
from rmtui.launch.launcher import NotSubmitted, Start
from rmtui.operations import sealed_looks
from rmtui.operations.announce import announce_ends
from rmtui.operations.plan import Plan, fresh_name, plan
from rmtui.runs import queue_tickets, state
from rmtui.runs.files import check_locks
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import NOTHING, State, Status
from rmtui.workspace import Workspace

__all__ = ["Plan", "plan", "prepare", "start", "wait"]

POLL = 0.25
FIX = "fix these and launch again"


def start(
    ws: Workspace, plan: Plan, *, accept_warnings: bool = True, remedy: str = "", facts: Mapping[str, str] = NOTHING
) -> str:
    """Write the run folder, queue the run and start its waiting supervisor; returns the run's id.

    `facts` are noted in spec.toml; with `branches_from`, a checkpoint of another run, the run goes on from there.
    UserError lists every error of the plan (and its warnings, unless they are accepted). The run starts at once when
    its devices are free.
    """
    refused = plan.errors if accept_warnings else plan.problems
    if refused:
        said = "\n  ".join(["", *map(str, refused)])
        raise UserError("the launch was refused before anything started", said.rstrip(), remedy or FIX)
    run = prepare(ws, dataclasses.replace(plan, spec={**plan.spec, **facts}))
    try:
        return enqueue(ws, run)
    except NotSubmitted:
        shutil.rmtree(run.path)  # nobody holds anything of it
        raise


def prepare(ws: Workspace, plan: Plan) -> RunFolder:
    """The run folder of a plan, complete on disk, not queued yet."""
    config = plan.spec["config"]
    spec = {**plan.spec, **provenance.facts(ws.root, config.get("data", {}))}
    sealed_looks.refuse_spent(ws, settings.table(spec, "fingerprints"))
    try:
        if plan.stem:
            spec["name"] = fresh_name(ws, plan.stem)
        check_locks(ws.queue)
        run = RunFolder.create(ws.runs, spec)
        if plan.tags:
            run.set_meta(tags=list(plan.tags))
    except OSError as error:
        raise UserError(
            "the run folder was not made", str(error), f"free some space or get write access to {ws.runs}", exit_code=1
        ) from error
    return run


def enqueue(ws: Workspace, run: RunFolder) -> str:
    """Hand a run's first attempt to its launcher; returns the run's id."""
    try:
        check_locks(ws.queue)
        with queue_tickets.turn(ws.queue):
            submit(ws, run, Start(checkpoint=str(run.spec().get("branches_from", ""))))
    except OSError as error:
        raise _not_queued(run, error) from error
    return run.id


def submit(ws: Workspace, run: RunFolder, start: Start) -> None:
    """Hand a start of a run to its launcher. Call it holding the queue's turn."""
    try:
        launchers.of(run).submit(ws, run, start)
    except (OSError, subprocess.SubprocessError) as error:
        raise _not_queued(run, error) from error


def _not_queued(run: RunFolder, error: Exception) -> UserError:
    return UserError(f"{run.id} was not queued", str(error), f"fix that, then: rmtui resume {run.id}", exit_code=1)


def wait(ws: Workspace, run_id: str, said: Callable[[Status], None] | None = None) -> Status:
    """Until nothing more happens without a person; `said` hears each change. Ctrl-C ends the waiting, never the run."""
    run, last = RunFolder(ws.runs / run_id), None
    launcher = launchers.of(run)
    while True:
        now = state.status(run)
        if said is not None and (last is None or now.state != last.state):
            said(now)
        last = now
        if now.state.final or now.state == State.UNKNOWN or (now.state == State.QUEUED and not now.supervised):
            announce_ends(ws)
            return now
        if now.state.alive and not now.supervised:
            launcher.attend(ws, run)
        launcher.look(ws)
        time.sleep(POLL)
