"""An error, or SIGKILL, at every write, fsync, rename, unlink, mkdir and spawn of the supervisor in turn."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import fault_kit
import launch_kit as kit
import pytest

import rmtui
from rmtui.launch import slots
from rmtui.records import state, tickets
from rmtui.records.facts import State
from rmtui.records.files import lock_held
from rmtui.records.folder import RunFolder

WRAPPED = Path(__file__).with_name("wrapped_supervisor.py")
STRIDE = 4
"""The steps are dealt to this many tests, so that they run beside each other."""


def launch_with_fault(ws, n: int, how: str) -> RunFolder:
    """What `launch.enqueue` does, with the wrapped supervisor in place of the real one."""
    import fcntl

    run = RunFolder.create(ws.runs, kit.spec(steps=3))
    with tickets.turn(ws.queue):
        tickets.add(ws.queue, run.id, 1, slots.needs_of(run.spec()))
    fd = os.open(tickets.waiter_lock(ws.queue, run.id), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    env = os.environ | {"PYTHONPATH": str(Path(rmtui.__file__).parent.parent)}
    words = [sys.executable, str(WRAPPED), str(n), how, "wait", str(run.path), "1", str(fd)]
    with (run.control / "supervisor.log").open("ab") as log:
        subprocess.run(words, env=env, pass_fds=[fd], stdout=log, stderr=log, start_new_session=True, check=True)
    os.close(fd)
    return run


def supervisor_is_over(ws, run: RunFolder) -> bool:
    last = run.last_attempt()
    lock = last.lock if last else tickets.waiter_lock(ws.queue, run.id)
    return state.status(run).state.final or not lock_held(lock)


@pytest.mark.parametrize("how", ["error", "kill"])
@pytest.mark.parametrize("first", range(1, STRIDE + 1))
def test_fault_at_every_step(ws, audit, how, first):
    fired = []
    for n in range(first, 200, STRIDE):
        run = launch_with_fault(ws, n, how)
        kit.until(lambda run=run: supervisor_is_over(ws, run), "the supervisor's end")
        settled = fault_kit.settle(ws, run)
        assert settled.state in (State.FINISHED, State.INTERRUPTED, State.FAILED), settled.reason
        assert audit(run).state == settled.state
        if not (run.control / "fault").exists():
            assert settled.state == State.FINISHED
            break
        fired.append((run.control / "fault").read_text())
    assert len(fired) >= 3, fired
