"""A control group of its own for each attempt catches helpers that drop their environment; nobody else's is touched."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import fault_kit
import launch_kit as kit
import pytest
import support

from rmtui.operations import runs, stop
from rmtui.runs import cgroup, life, proc, state
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import State

WHY_NOT = cgroup.why_not()
needs_group = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
LOST = 'env -i setsid sleep 100000 & echo $! > ../helper; exec "$@"'
"""Starts a helper without environment, in a session of its own, as sudo or a tracker's daemon would be."""


@pytest.fixture
def helped(ws) -> RunFolder:
    spec = kit.spec(steps=3, hold_at=2)
    spec["trainer"]["command"] = ["sh", "-c", LOST, "sh", *spec["trainer"]["command"]]
    run = RunFolder.create(ws.runs, spec)
    kit.launch.enqueue(ws, run)
    kit.until_step(run, 2)
    return run


def helper(run: RunFolder) -> proc.Proc:
    found = proc.find(int((run.path / "helper").read_text()))
    assert found is not None and b"RMTUI" not in Path(f"/proc/{found.pid}/environ").read_bytes()
    return found


def group_of(run: RunFolder) -> Path:
    return Path(run.attempts()[0].launch()["cgroup"])


@needs_group
@pytest.mark.parametrize("how", ["by itself", "stop", "killed", "adopted"])
def test_a_helper_without_environment_ends_with_its_run(ws, audit, helped, how):
    left, group = helper(helped), group_of(helped)
    if how == "stop":
        stop.stop(ws, helped.id)
    elif how == "killed":
        stop.stop(ws, helped.id, now=True)
    else:
        if how == "adopted":
            kit.kill(kit.supervisor(helped))
        kit.go(helped)
    fault_kit.settle(ws, helped)
    audit(helped)
    assert not proc.alive(left), "the helper outlives its run"
    assert not group.exists(), "an empty group is left behind"


@needs_group
def test_a_run_whose_helper_still_lives_is_not_called_dead(ws, audit, helped):
    """Everything with a tag was killed at once: what is left keeps the run from being started a second time."""
    left = helper(helped)
    kit.kill(kit.supervisor(helped))
    for process in proc.tagged(helped.id):
        kit.kill(process.proc)
    assert state.status(helped).state == State.RUNNING
    stop.stop(ws, helped.id, now=True, wait=True)
    assert not proc.alive(left)
    audit(helped)


@needs_group
def test_a_group_whose_processes_all_died_at_once_is_taken_away_by_whoever_finds_the_end(ws, audit, helped):
    left, group = helper(helped), group_of(helped)
    doomed = [kit.supervisor(helped), *(process.proc for process in proc.tagged(helped.id)), left]
    for process in doomed:
        kit.kill(process)
    support.wait_until(lambda: state.status(helped).state.final)
    with runs.reading(ws):
        pass
    assert not group.exists()
    audit(helped)


@needs_group
@pytest.mark.parametrize("name", ["parent", "other", "dots", "device"])
def test_a_file_that_names_somebody_elses_group_gets_nobody(ws, name):
    """launch.json of a bundle, or forged: only a group whose name has the nonce and the place counts."""
    run = RunFolder.create(ws.runs, kit.spec())
    attempt, lock = run.new_attempt(1)
    os.close(lock)
    mine = cgroup.make("f00d", proc.place(ws.root))
    assert mine is not None
    stranger = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    try:
        cgroup.enter(mine, stranger.pid)
        false = {
            "parent": str(mine.parent),
            "other": str(mine),
            "dots": f"{mine}/../{mine.name}",
            "device": "/dev/shm",
        }[name]
        launch = {"host": proc.host(), "boot_id": proc.boot_id(), "nonce": "f00d", "cgroup": false}
        kit.write_json(attempt.path / "launch.json", launch)
        assert life.processes(attempt, attempt.launch()) == []
        assert not state.status(run).state.alive
    finally:
        os.kill(stranger.pid, signal.SIGKILL)
        stranger.wait()
        kit.until(lambda: not (mine / "cgroup.procs").read_text().strip(), "the group to empty")
        mine.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces are made by root")
def test_where_no_group_can_be_made_runs_end_as_before_and_the_doctor_says_so(ws, audit):
    """In a mount namespace in which nothing of the control groups is seen."""
    hidden = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {cgroup.MOUNT} && exec "$@"', "sh"]
    if subprocess.run([*hidden, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mounts can be made here")
    line = [*hidden, *fault_kit.verb_line(ws, "doctor", "--fast")]
    done = subprocess.run(line, env=fault_kit.verb_environment(), capture_output=True, text=True, check=False)
    assert "no control group of its own (none is mounted)" in done.stdout
