"""Beginning a search, going on with one, giving one more to spend."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import rmtui
from rmtui.errors import UserError
from rmtui.operations.declare import person
from rmtui.operations.plan import Plan
from rmtui.tune.course import Folder, create, folders, same
from rmtui.tune.model import Budget, Search
from rmtui.workspace import Workspace

PATIENCE = 60
"""Seconds in which a process of its own has to take up its search."""


def begin(ws: Workspace, made: Plan, search: Search, *, anew: bool = False) -> tuple[Folder, bool]:
    """The search of this base configuration and its rules: (folder, whether it is new). One that is there goes on, with
    this budget where that is larger."""
    known = None if anew else same(ws, made.spec, search)
    if known is not None:
        raise_budget(known, search.budget)
        return known, False
    assert made.derived is not None
    return create(ws, made.spec, made.derived.train_pairs, search), True


def raise_budget(folder: Folder, budget: Budget) -> None:
    """UserError for another unit; a smaller budget changes nothing. A search that is under way takes a larger one up
    when it next decides, one that is done is not done any more."""
    order = folder.order()
    if order is None:
        raise UserError(f"{folder.path} holds no readable search", remedy="begin anew: rmtui tune --new …")
    had = order.search.budget
    if had.unit != budget.unit:
        what = f"the budget of search {folder.id} is in {had.unit}, not in {budget.unit}"
        raise UserError(what, remedy=f"give it in {had.unit}, or begin anew with --new")
    if budget.amount > had.amount:
        folder.write_order(replace(order, search=order.search._replace(budget=budget)))
        course = folder.course()
        if course.done and not folder.driven:
            folder.write_course(replace(course, done=""))


def newest(ws: Workspace) -> Folder:
    """The newest search; UserError where there is none."""
    found = next(iter(folders(ws)), None)
    if found is None:
        raise UserError("there is no search here", remedy="begin one: rmtui tune --data NAME --budget 12runs")
    return found


def ask_stop(folder: Folder) -> str:
    """Ask the process that drives a search to stop its runs and end; what will happen, in words."""
    if not folder.driven:
        return f"search {folder.id} is not running"
    folder.ask_stop(person())
    return f"search {folder.id} stops: its runs save a checkpoint"


def ask_pause(folder: Folder) -> str:
    """Ask the process that drives a search to begin no further run; what will happen, in words."""
    if not folder.driven:
        return f"search {folder.id} is not running"
    folder.ask_pause(person())
    return f"search {folder.id} pauses once its runs have ended"


def extend(ws: Workspace, folder: Folder) -> str:
    """Half as much again to spend where it is done or under way, and on with it; what was done, in words."""
    order = folder.order()
    if order is None:
        raise UserError(f"{folder.path} holds no readable search")
    had, driven = order.search.budget, folder.driven
    if not driven and not folder.course().done:
        start_apart(ws, folder)
        return f"search {folder.id} goes on"
    step = max(1.0, round(had.amount / 2)) if had.unit != "hours" else had.amount / 2
    raise_budget(folder, Budget(had.amount + step, had.unit))
    if not driven:
        start_apart(ws, folder)
    return f"search {folder.id} goes on, with a budget of {had.amount + step:g} {had.unit}"


def start_apart(ws: Workspace, folder: Folder) -> str:
    """Drive a search in a process of its own, which outlives this one; what was done, in words.

    Returns when that process holds the search's lock, by which it is known to be alive, or has come to the end.
    UserError, with the end of what it printed, where it ended without."""
    if folder.driven:
        return f"search {folder.id} is running already"
    if folder.course().done:
        return f"search {folder.id} is done; it goes on with a larger budget: rmtui tune --budget"
    drive_apart(ws, folder)
    if not folder.driven and folder.course().done:
        return f"search {folder.id} is done"
    return f"search {folder.id} runs in the background"


def drive_apart(ws: Workspace, folder: Folder) -> None:
    """A process of its own that drives the search; what it prints goes into drive.log. As `start_apart` says."""
    here = str(Path(rmtui.__file__).resolve().parent.parent)
    paths = [here, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    path = folder.path / "drive.log"
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        begun = os.fstat(log).st_size
        process = subprocess.Popen(
            [sys.executable, "-m", "rmtui", "tune", "-C", str(ws.root), "--search", folder.id],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=ws.root,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,
        )
    finally:
        os.close(log)
    end = time.monotonic() + PATIENCE
    while not folder.driven:
        if process.poll() is not None:
            if process.returncode == 0 or folder.driven:
                return
            printed = path.read_bytes()[begun:].decode(errors="replace").strip()
            what = f"search {folder.id} ended as soon as it began"
            raise UserError(what, "\n".join(printed.splitlines()[-5:]), "correct that, then: rmtui tune", exit_code=1)
        if time.monotonic() > end:
            raise UserError(f"search {folder.id} has not begun within {PATIENCE} s", remedy=f"see {path}", exit_code=1)
        time.sleep(0.05)
