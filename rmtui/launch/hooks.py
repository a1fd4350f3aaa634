"""Commands of workspace.toml that run when a training finished, failed or stalled.

Names and reasons travel in the environment only: nothing a run carries becomes part of a shell command.
"""

from __future__ import annotations

import os
import subprocess
import sys

from rmtui.runs import proc
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import State, Status
from rmtui.workspace import Workspace


def ended(ws: Workspace, run: RunFolder, status: Status) -> None:
    """Fire on_finished, or on_failed for every bad end; a stop or a kill that was asked for fires nothing."""
    last = run.last_attempt()
    if status.state == State.FINISHED:
        _fire(ws.settings.on_finished, ws, run, status)
    elif last is not None and any(request.get("now") for request in run.requests("stop", last.n)):
        return
    elif status.state in (State.FAILED, State.KILLED, State.INTERRUPTED):
        _fire(ws.settings.on_failed, ws, run, status)


def stalled(ws: Workspace, run: RunFolder, status: Status) -> None:
    _fire(ws.settings.on_stalled, ws, run, status)


def _fire(command: str, ws: Workspace, run: RunFolder, status: Status) -> None:
    if not command:
        return
    env = {key: value for key, value in os.environ.items() if key not in (proc.TAG, proc.SLOTS)}
    env |= {
        "RMTUI_RUN_ID": run.id,
        "RMTUI_NAME": run.name(),
        "RMTUI_STATE": str(status.state),
        "RMTUI_REASON": status.reason,
        "RMTUI_FOLDER": str(run.path),
    }
    try:
        subprocess.Popen(command, shell=True, cwd=ws.root, env=env, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        print(f"hook: {command}: {error}", file=sys.stderr, flush=True)
