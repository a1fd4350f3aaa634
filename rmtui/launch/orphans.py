"""Processes of trainings that no run accounts for: their run has ended, or its folder is gone."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from rmtui.runs import proc, state
from rmtui.runs.folder import RunFolder
from rmtui.runs.proc import Tagged
from rmtui.workspace import Workspace

PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Orphan:
    """A living process of a training, and why nobody accounts for it; "" where somebody does."""

    process: Tagged
    why: str
    supervised: bool


def look(ws: Workspace | None) -> list[Orphan]:
    """The tagged processes of a workspace; without one, all of this user's on this machine."""
    found = [(process, _current_folder(process)) for process in proc.tagged() if _ours(process)]
    return [_judge(ws, process, here) for process, here in found if ws is None or _belongs(ws, process, here)]


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


def _belongs(ws: Workspace, process: Tagged, here: Path) -> bool:
    return (ws.runs / process.run).exists() or here.is_relative_to(ws.root.resolve())


def _judge(ws: Workspace | None, process: Tagged, here: Path) -> Orphan:
    run = _folder(ws, process, here)
    if run is None:
        return Orphan(process, f"the folder of its run {process.run} is gone", False)
    last = next((attempt for attempt in run.attempts() if attempt.n == process.attempt), None)
    now = state.attempt_status(run, last) if last else state.status(run)
    why = f"its run {process.run} is {now.state}" if now.state.final else ""
    return Orphan(process, why, now.supervised)


def _folder(ws: Workspace | None, process: Tagged, here: Path) -> RunFolder | None:
    """The run's folder: in this workspace, else above the process's current folder."""
    places = [ws.runs / process.run] if ws else []
    places += [path for path in (here, *here.parents) if path.name == process.run]
    return next((RunFolder(path) for path in places if (path / "spec.toml").is_file()), None)


def end(ws: Workspace | None) -> list[int]:
    """Kill them and wait until they are gone; returns the pids that were ended."""
    doomed = [found.process.proc for found in look(ws) if found.why]
    for process in doomed:
        proc.signal(process, signal.SIGKILL)
    until = time.monotonic() + PATIENCE
    while any(map(proc.alive, doomed)) and time.monotonic() < until:
        time.sleep(0.05)
    return [process.pid for process in doomed if not proc.alive(process)]
