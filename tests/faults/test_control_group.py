"""A control group of its own for each attempt catches helpers that drop their environment; nobody else's is touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
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


@needs_group
def test_empty_groups_of_runs_that_were_killed_and_deleted_do_not_pile_up(ws, monkeypatch):
    """Nobody is left who would take them away but the next run; a group with a process in it is never touched."""
    empty, full = cgroup.make("dead", "1.1"), cgroup.make("beef", "1.2")
    assert empty is not None and full is not None
    stranger = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    try:
        assert cgroup.enter(full, stranger.pid)
        fresh = cgroup.make("f00d", "1.3")
        assert fresh is not None and empty.exists(), "one that was made a moment ago waits for its first process"
        fresh.rmdir()
        monkeypatch.setattr(cgroup, "OLD", -1.0)
        cgroup.make("f00d", "1.3").rmdir()
        assert not empty.exists() and full.exists() and stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
        kit.until(lambda: not (full / "cgroup.procs").read_text().strip(), "the group to empty")
        full.rmdir()


ONLY_VERSION_2 = "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup"
ELSEWHERE = (
    "mkdir '/dev/shm/control groups' && umount -R /sys/fs/cgroup; mount -t cgroup2 none '/dev/shm/control groups'"
)
GIVEN = "/sys/fs/cgroup/of-nobody-$$"


def given_away(what: str) -> str:
    return f"{ONLY_VERSION_2} && mkdir {GIVEN} && chown -R 65534 {what} && echo $$ > {GIVEN}/cgroup.procs"


AS_NOBODY = (
    *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),  # it may read an interpreter in /root
)


def in_another_world(mounts: str, *words: str) -> list[str]:
    """A command in a mount namespace of its own; groups are not, and the one that was given away is taken back."""
    end = f"code=$?; echo $$ > /sys/fs/cgroup/cgroup.procs; rmdir {GIVEN}; exit $code"
    return ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none /dev/shm; {mounts} && "$@"; {end}', "sh", *words]


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces are made by root")
@pytest.mark.parametrize(
    ("mounts", "user"),
    [(ONLY_VERSION_2, ()), (ELSEWHERE, ()), (given_away(GIVEN), AS_NOBODY)],
    ids=["version 2", "mounted elsewhere", "delegated to a user"],
)
def test_all_of_this_with_version_2(tmp_path, mounts, user):
    """The tests above again, where the kernel's version 2 is the only one there is, and for a user it was given to."""
    words = (*user, sys.executable, "-c", "from rmtui.runs import cgroup; print(cgroup.why_not(), *cgroup.parents())")
    env = fault_kit.verb_environment() | {"HOME": str(tmp_path)}
    tried = subprocess.run(in_another_world(mounts, *words), env=env, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"version 2 cannot be mounted here: {tried.stderr.strip()[-200:]}")
    assert tried.stdout.startswith(" /"), f"no group can be made: {tried.stdout}"
    tmp_path.chmod(0o777)
    for above in tmp_path.parents[:2]:
        above.chmod(0o711)
    again = f"{fault_kit.REPO}/tests/faults/test_control_group.py"
    here = "not all_of_this and not no_group_can_be_made and not given_away"
    words = (*user, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", again, "-k", here)
    line = in_another_world(mounts, *words, f"--basetemp={tmp_path}/again")
    done = subprocess.run(line, env=env, cwd=fault_kit.REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "skipped" not in done.stdout, done.stdout[-3000:]


@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces are made by root")
@pytest.mark.parametrize("what", [GIVEN, f"{GIVEN}/cgroup.procs"], ids=["folder", "processes"])
def test_a_group_that_was_given_away_in_part_is_not_used(tmp_path, what):
    """Version 2 lets the owner of the folder make groups in it, and move nobody into them."""
    code = "from rmtui.runs import cgroup; print(cgroup.why_not(), '|', cgroup.make('f00d', '1.1'))"
    mounts = given_away(what).replace("chown -R", "chown")
    line = in_another_world(mounts, *AS_NOBODY, sys.executable, "-c", code)
    env = fault_kit.verb_environment() | {"HOME": str(tmp_path)}
    done = subprocess.run(line, env=env, capture_output=True, text=True, check=False)
    if "mount" in done.stderr:
        pytest.skip("version 2 cannot be mounted here")
    assert done.stdout.strip() == "none of the control groups that this process is in may get a child | None"


@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces are made by root")
def test_where_no_group_can_be_made_runs_end_as_before_and_the_doctor_says_so(ws, audit):
    """In a mount namespace in which nothing of the control groups is seen."""
    hidden = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /sys/fs/cgroup && exec "$@"', "sh"]
    if subprocess.run([*hidden, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mounts can be made here")
    line = [*hidden, *fault_kit.verb_line(ws, "doctor", "--fast")]
    done = subprocess.run(line, env=fault_kit.verb_environment(), capture_output=True, text=True, check=False)
    assert "no control group of its own (none is mounted)" in done.stdout
