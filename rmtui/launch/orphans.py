"""Processes of trainings that no run accounts for: their run has ended, or its folder is gone."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from rmtui.runs import proc, state
from rmtui.runs.folder import AttemptFolder, RunFolder
from rmtui.runs.proc import Tagged
from rmtui.workspace import Workspace

PATIENCE = 5.0
DELETED = " (deleted)"
"""What the kernel appends to the name of a folder that was removed."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """A living process of a training, and why nobody accounts for it; "" where somebody does."""

    process: Tagged
    why: str
    supervised: bool


def look(ws: Workspace | None) -> list[Orphan]:
    """The tagged processes of a workspace; without one, all of this user's on this machine.

    A process belongs to the folder whose device and inode its tag names: a copy of the workspace has none of them.
    """
    found = [_judge(ws, process) for process in proc.tagged() if _ours(process)]
    return [orphan for orphan in found if orphan is not None]


def _ours(process: Tagged) -> bool:
    """Of this user: root sees everybody's, and must not end them unasked."""
    try:
        return Path(f"/proc/{process.proc.pid}").stat().st_uid == os.getuid()
    except OSError:
        return False


def _current_folder(process: Tagged) -> Path:
    """Its attempt's folder, if it did not go elsewhere; a folder that was removed ends in ` (deleted)`."""
    try:
        return Path(f"/proc/{process.proc.pid}/cwd").readlink()
    except OSError:
        return Path("/")


def _judge(ws: Workspace | None, process: Tagged) -> Orphan | None:
    here = _current_folder(process)
    run = _folder(ws, process, here)
    if run is None:
        inside = ws is None or here.is_relative_to(ws.root.resolve())
        if not (inside and str(here).endswith(DELETED)):
            return None  # another workspace's, or nobody here can know
        return Orphan(process, f"the folder of its run {process.run} is gone", False)
    attempt = AttemptFolder(run.path / f"attempt-{process.attempt}")
    if process.nonce != attempt.launch().get("nonce", process.nonce):
        return None  # something that took the place of a run's processes, not one of them
    now = state.attempt_status(run, attempt)
    why = f"its run {process.run} is {now.state}" if now.state.final else ""
    return Orphan(process, why, now.supervised)


def _folder(ws: Workspace | None, process: Tagged, here: Path) -> RunFolder | None:
    """The run's folder, in the workspace or above the process's current folder, if the attempt in it is its own."""
    folders = [ws.runs / process.run] if ws else []
    folders += [path for path in (here, *here.parents) if ws is None and path.name == process.run]
    for path in folders:
        if process.place and proc.place(path / f"attempt-{process.attempt}") == process.place:
            return RunFolder(path)
    return None


def end(ws: Workspace | None) -> list[int]:
    """Kill them and wait until they are gone; returns the pids that were ended."""
    doomed = [found.process.proc for found in look(ws) if found.why]
    for process in doomed:
        proc.signal(process, signal.SIGKILL)
    until = time.monotonic() + PATIENCE
    while any(map(proc.alive, doomed)) and time.monotonic() < until:
        time.sleep(0.05)
    return [process.pid for process in doomed if not proc.alive(process)]
