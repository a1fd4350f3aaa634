"""Starting supervisors: detached, in their own session, holding nothing of the caller but the lock they wait with."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import rmtui
from rmtui.runs import proc, queue_tickets
from rmtui.runs.folder import RunFolder
from rmtui.workspace import Workspace


def wait_in_line(ws: Workspace, run: RunFolder, attempt: int) -> bool:
    """Start the process that waits for the run's turn and then supervises it; False when one waits already.

    The lock is taken here and handed on, so that the ticket is never seen without its holder.
    """
    fd = os.open(queue_tickets.waiter_lock(ws.queue, run.id), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _detach(run, ["wait", str(run.path), str(attempt), str(fd)], [fd])
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def adopt(run: RunFolder, attempt: int) -> None:
    """Start a supervisor for a training that lost its own."""
    _detach(run, ["adopt", str(run.path), str(attempt)], [])


def _detach(run: RunFolder, words: Sequence[str], keep: Sequence[int]) -> None:
    """Returns when the process has forked away, so that it is nobody's child and leaves no zombie."""
    env = {key: value for key, value in os.environ.items() if key not in (proc.TAG, proc.SLOTS)}
    here = str(Path(rmtui.__file__).resolve().parent.parent)
    env["PYTHONPATH"] = os.pathsep.join([here, *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))])
    run.control.mkdir(mode=0o700, exist_ok=True)
    log = os.open(run.control / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        subprocess.run(
            [sys.executable, "-m", "rmtui.launch.supervisor", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=run.path,
            env=env,
            pass_fds=keep,
            start_new_session=True,
            check=True,
        )
    finally:
        os.close(log)
