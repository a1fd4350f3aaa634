"""An error, or SIGKILL, at every write, fsync, rename, unlink, mkdir and spawn of the supervisor in turn."""

from __future__ import annotations

import signal

import fault_kit
import launch_kit as kit
import pytest

from rmtui.runs import proc, queue_tickets, state
from rmtui.runs.files import lock_held
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import State

STRIDE = 4
"""The steps are dealt to this many tests, so that they run beside each other."""


def supervisor_is_over(ws, run: RunFolder) -> bool:
    last = run.last_attempt()
    lock = last.lock if last else queue_tickets.waiter_lock(ws.queue, run.id)
    return state.status(run).state.final or not lock_held(lock)


@pytest.mark.parametrize("how", ["error", "kill"])
@pytest.mark.parametrize("first", range(1, STRIDE + 1))
def test_fault_at_every_step_of_the_supervisor(ws, audit, how, first):
    fired = []
    for n in range(first, 200, STRIDE):
        run = fault_kit.start_wrapped(ws, how, n, steps=3)
        kit.until(lambda run=run: supervisor_is_over(ws, run), "the supervisor's end")
        no_state_lies(run)
        settled = fault_kit.settle(ws, run)
        assert settled.state in (State.FINISHED, State.INTERRUPTED, State.FAILED), settled.reason
        assert audit(run).state == settled.state
        if not (run.control / "fault").exists():
            assert settled.state == State.FINISHED
            break
        fired.append((run.control / "fault").read_text())
    assert len(fired) >= 3, fired
    assert {"write", "fsync", "replace", "spawn"} & set(fired), fired


def no_state_lies(run: RunFolder) -> None:
    """Called alive only with something alive, and final only with nothing alive."""
    now, processes = state.status(run), proc.tagged(run.id)
    if now.state.alive and not now.supervised:
        assert processes or state.status(run).state.final, f"{now.state} with nothing alive"
    if now.state.final:
        assert not proc.tagged(run.id), f"{now.state} with {processes}"


@pytest.mark.parametrize("how", ["error", "kill"])
def test_fault_at_every_step_of_a_launch(ws, audit, how):
    """The folder, the ticket and the start of the supervisor: a run is there whole or not at all, and is never lost."""
    fired, marker = [], ws.root / "fault"
    for n in range(1, 100):
        before = {path.name for path in ws.runs.glob("2*")}
        code = fault_kit.launch_wrapped(ws, how, n, steps=2)
        made = [RunFolder(path) for path in ws.runs.glob("2*") if path.name not in before]
        assert len(made) <= 1
        for run in made:
            assert run.spec()["trainer"]["command"], "whole"
            settled = fault_kit.settle(ws, run)
            assert settled.state in (State.FINISHED, State.INTERRUPTED), settled.reason
            audit(run)
            if settled.state == State.INTERRUPTED:
                assert (code, settled.resumable) == (1 if how == "error" else -signal.SIGKILL, True)
        if not marker.exists():
            assert (code, len(made)) == (0, 1)
            break
        fired.append(marker.read_text())
        marker.unlink()
    assert {"write", "fsync", "replace", "rename", "mkdir", "spawn"} <= set(fired), fired
