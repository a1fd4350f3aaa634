"""Whose a training is, and whether it lives: copies, containers, lost tags, silent supervisors, no locks, strangers."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import fault_kit
import launch_kit as kit
import pytest

from rmtui import workspace
from rmtui.errors import UserError
from rmtui.launch import orphans
from rmtui.operations import adopt, imports, resume, runs, stop
from rmtui.runs import identity, life, ownership, proc, state
from rmtui.runs.files import lock_held
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import State
from rmtui.workspace import Workspace, open_workspace

ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="namespaces are made by root")
OTHER_HOST = ["unshare", "--uts", "sh", "-c", 'hostname other-box && exec "$@"', "sh"]
OTHER_PIDS = ["unshare", "--fork", "--pid", "--mount-proc"]


def held_run(ws: Workspace, **how) -> RunFolder:
    run = kit.start(ws, steps=5, hold_at=2, save_at=2, **how)
    kit.until_step(run, 2, how.get("processes", 1))
    return run


def seen(ws: Workspace, inside: list[str], *words: str) -> subprocess.CompletedProcess[str]:
    """A verb in other namespaces."""
    line = [*inside, sys.executable, "-m", "rmtui", "-C", str(ws.root), *words]
    env = os.environ | {"PYTHONPATH": fault_kit.REPO}
    return subprocess.run(line, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def row(ws: Workspace, inside: list[str], run: RunFolder) -> dict[str, str]:
    done = seen(ws, inside, "ls", "--json")
    assert done.returncode == 0, done.stderr
    return next(each for each in json.loads(done.stdout) if each["id"] == run.id)


def without_supervisor(run: RunFolder) -> None:
    kit.kill(kit.supervisor(run))


def end(ws: Workspace, run: RunFolder) -> None:
    kit.go(run)
    assert fault_kit.settle(ws, run).state == State.FINISHED


def copy_of(ws: Workspace) -> Workspace:
    there = ws.root.with_name("copy")
    subprocess.run(["cp", "-r", ws.root, there], check=True)
    return open_workspace(there)


@pytest.mark.parametrize("supervised", [True, False])
def test_a_copy_of_a_workspace_touches_nothing_of_the_original(ws, audit, supervised):
    run = held_run(ws)
    if not supervised:
        without_supervisor(run)
    copy = copy_of(ws)
    now = state.status(RunFolder(copy.runs / run.id))
    assert (now.state, now.resumable) == (State.UNKNOWN, False) and f"copy of {run.path}" in now.reason
    assert adopt.adopt_all(copy) == []
    for refused in (
        lambda: stop.stop(copy, run.id, now=True),
        lambda: resume.resume(copy, run.id, force=True),
        lambda: runs.remove(copy, run.id),
        lambda: runs.set_note(copy, run.id, "mine"),
        lambda: kit.start(copy),
        lambda: imports.import_paths(copy, [ws.root]),
    ):
        with pytest.raises(UserError, match=f"copy of {ws.root}"):
            refused()
    assert orphans.look(copy) == [] and orphans.end(copy) == []
    assert f"{copy.root} is a copy of {ws.root}" in fault_kit.rmtui(copy, "doctor", "--fast").stdout
    assert {each.attempt for each in proc.tagged(run.id)} == {1}
    end(ws, run)
    audit(run)


def test_an_owned_copy_is_a_workspace_of_its_own_and_the_originals_processes_are_still_not_its(ws, audit):
    run = held_run(ws)
    copy = copy_of(ws)
    assert fault_kit.rmtui(copy, "workspace", "--own").returncode == 0
    assert identity.copied_from(copy.root) is None
    mine = RunFolder(copy.runs / run.id)
    assert state.status(mine).state == State.UNKNOWN and adopt.adopt_all(copy) == [] and orphans.look(copy) == []
    with pytest.raises(UserError, match="--not-running"):
        resume.resume(copy, run.id)
    resume.resume(copy, run.id, not_running=True)
    kit.go(mine)
    assert kit.until_ended(mine).state == State.FINISHED
    assert state.status(run).state == State.RUNNING, "the original goes on by itself"
    end(ws, run)
    audit(run)


def test_a_workspace_that_moved_is_no_copy(ws):
    run = kit.start(ws, steps=1)
    kit.until_ended(run)
    kit.until(lambda: not kit.attended(run))
    moved = ws.root.rename(ws.root.with_name("moved"))
    assert identity.copied_from(moved) is None and not ownership.foreign(moved, RunFolder(moved / "runs" / run.id))


def test_two_containers_over_one_folder_are_no_copies(ws, tmp_path):
    """The same folder under another path, as in a second container: a bind mount has the same inode, a link too."""
    run = kit.start(ws, steps=1)
    kit.until_ended(run)
    other = tmp_path / "mounted"
    other.symlink_to(ws.root)
    assert identity.copied_from(other) is None


@needs_root
@pytest.mark.parametrize("inside", [OTHER_PIDS, OTHER_HOST, [*OTHER_HOST, *OTHER_PIDS]], ids=["pids", "host", "both"])
def test_a_living_training_is_seen_from_another_container_and_never_started_twice(ws, audit, inside):
    run = held_run(ws)
    assert row(ws, inside, run)["state"] == "running"
    without_supervisor(run)
    assert row(ws, inside, run)["state"] == "running"
    done = seen(ws, inside, "resume", run.id, "--force")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(run.attempts()) == 1
    end(ws, run)
    audit(run)


@needs_root
def test_in_a_pid_namespace_without_a_proc_of_its_own_no_stranger_gets_a_signal():
    """There /proc/2 is a thread of the kernel, and pid 2 the second process of the namespace."""
    code = (
        "import subprocess; from rmtui.runs import proc\n"
        "stranger = subprocess.Popen(['sleep', '60'])\n"
        "found = proc.find(stranger.pid)\n"
        "print(stranger.pid, found is not None, found and proc.signal(found, 15), stranger.poll())\n"
        "stranger.kill()"
    )
    line = ["unshare", "--fork", "--pid", sys.executable, "-c", code]
    env = os.environ | {"PYTHONPATH": fault_kit.REPO}
    done = subprocess.run(line, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "True", "False", "None"], done.stderr


@needs_root
def test_two_real_ranks_are_seen_from_another_container_when_supervisor_and_launcher_are_gone(ws, audit):
    run = held_run(ws, launcher="accelerate", processes=2, deaf=True)
    without_supervisor(run)
    launcher = next(each for each in proc.tagged(run.id) if each.rank is None)
    kit.kill(launcher.proc)
    assert len(proc.tagged(run.id)) == 2
    assert row(ws, OTHER_PIDS, run)["state"] == "running"
    end(ws, run) if state.status(run).state.alive else None
    audit(run)


@needs_root
def test_a_container_that_comes_back_with_another_host_name_resumes_without_force(ws, audit):
    run = held_run(ws)
    without_supervisor(run)
    for process in proc.tagged(run.id):
        kit.kill(process.proc)
    for inside in (OTHER_HOST, [*OTHER_HOST, *OTHER_PIDS]):
        found = row(ws, inside, run)
        assert (found["state"], found["resumable"]) == ("interrupted", True), found["reason"]
    (run.control / "go").touch()
    done = seen(ws, OTHER_HOST, "resume", run.id)
    assert done.returncode == 0, done.stderr
    assert kit.until_ended(run).state == State.FINISHED
    audit(run)


@needs_root
def test_a_box_that_restarted_under_another_name_resumes_its_run_and_a_second_machine_does_not(ws, audit, tmp_path):
    """As rented boxes do: a new boot id and a new host name, on the disk that was there before."""
    run = held_run(ws)
    without_supervisor(run)
    (tmp_path / "boot").write_text("7c9e6679-7425-40de-944b-e07fc1f90ae7\n")
    words = f'mount --bind {tmp_path / "boot"} /proc/sys/kernel/random/boot_id && hostname new-name && exec "$@"'
    restarted = ["unshare", "--uts", "--mount", "sh", "-c", words, "sh"]
    assert row(ws, restarted, run)["state"] == "running", "as long as its ranks hold their locks"
    for process in proc.tagged(run.id):
        kit.kill(process.proc)
    found = row(ws, restarted, run)
    assert (found["state"], found["resumable"]) == ("interrupted", True), found["reason"]
    assert found["reason"].startswith("machine restarted at ")
    copied = row(copy_of(ws), restarted, run)  # its folder came from elsewhere, where it may train on
    assert (copied["state"], copied["resumable"]) == ("unknown", False)
    with pytest.MonkeyPatch.context() as patch:  # on NFS another machine may have it, too
        patch.setattr(proc, "boot_id", lambda: "7c9e6679-7425-40de-944b-e07fc1f90ae7")
        patch.setattr(proc, "host", lambda: "new-name")
        assert state.status(run).state == State.INTERRUPTED
        patch.setattr(workspace, "file_system", lambda path: "nfs4")
        assert state.status(run).state == State.UNKNOWN
    (run.control / "go").touch()
    done = seen(ws, restarted, "resume", run.id)
    assert done.returncode == 0, done.stderr
    assert kit.until_ended(run).state == State.FINISHED
    audit(run)


def test_a_run_of_before_the_locks_stays_unknown_until_a_person_says_that_it_is_dead(ws):
    run = RunFolder.create(ws.runs, kit.spec())
    made, lock = run.new_attempt(1)
    os.close(lock)
    launch = {"kind": "local", "host": "old-box", "boot_id": proc.boot_id(), "nonce": "ff"}
    kit.write_json(made.path / "launch.json", launch)
    assert state.status(run).state == State.UNKNOWN
    with pytest.raises(UserError, match="--not-running"):
        resume.resume(ws, run.id, inexact=True)
    (made.ranks / "rank0").touch()
    holder = subprocess.Popen(["flock", made.ranks / "rank0", "sleep", "60"], start_new_session=True)
    try:
        kit.until(lambda: lock_held(made.ranks / "rank0"))
        with pytest.raises(UserError, match="running"):
            resume.resume(ws, run.id, not_running=True)
        with pytest.raises(UserError):
            runs.remove(ws, run.id, not_running=True)
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
        holder.wait()
    assert fault_kit.rmtui(ws, "rm", run.id, "--yes", "--not-running").returncode == 0
    assert not run.path.exists()


@pytest.mark.parametrize("launch", [{"x": 1}, {"host": proc.host()}, {"boot_id": proc.boot_id()}, {"nonce": None}])
def test_a_missing_field_never_means_mine(ws, audit, tmp_path, launch):
    """A stranger's folder of the same name, with a request to kill, beside a training that lives elsewhere."""
    run = held_run(ws)
    other = kit.make_workspace(tmp_path / "other")
    false = RunFolder(other.runs / run.id)
    (false.path / "attempt-1").mkdir(parents=True)
    shutil.copy(run.path / "spec.toml", false.path)
    kit.write_json(false.path / "attempt-1" / "launch.json", launch)
    false.request_stop(True, "a stranger", 1)
    assert state.status(false).state == State.UNKNOWN
    assert adopt.adopt_all(other) == [] and orphans.end(other) == []
    with pytest.raises(UserError):
        stop.stop(other, run.id, now=True)
    assert state.status(run).state == State.RUNNING and proc.tagged(run.id)
    end(ws, run)
    audit(run)


@pytest.mark.parametrize("supervised", [True, False])
def test_a_training_that_dropped_its_tag_is_stopped_all_the_same(ws, audit, supervised):
    spec = kit.spec(steps=5, hold_at=2)
    spec["trainer"]["command"] = ["env", "-u", proc.TAG, *spec["trainer"]["command"]]
    run = RunFolder.create(ws.runs, spec)
    kit.launch.enqueue(ws, run)
    kit.until_step(run, 2)
    assert not proc.tagged(run.id)
    if not supervised:
        without_supervisor(run)
        assert state.status(run).state == State.RUNNING
        with pytest.raises(UserError):
            resume.resume(ws, run.id, force=True)
    (process,) = life.processes(run.attempts()[0], run.attempts()[0].launch())
    ended = stop.stop(ws, run.id, wait=True)
    assert ended.state == State.STOPPED, ended
    assert not proc.alive(process.proc)
    audit(run)


@pytest.mark.parametrize("now", [False, True])
def test_a_supervisor_that_hangs_is_named_and_a_stop_replaces_it(ws, audit, now):
    run = held_run(ws)
    before = kit.supervisor(run)
    os.kill(before.pid, signal.SIGSTOP)
    found = kit.until(lambda: (there := state.status(run)).silent and there, "the silence to be said", 12)
    assert f"supervisor (pid {before.pid}) has been silent" in found.reason and found.state == State.RUNNING
    ended = stop.stop(ws, run.id, now=now, wait=True)
    assert ended.state == (State.KILLED if now else State.STOPPED), ended
    assert not proc.alive(before)
    audit(run)


def test_a_stopped_clock_of_a_supervisor_that_works_is_never_called_silent(ws, audit):
    """Whatever the wall clock does: beats are counted by the kernel's monotonic one."""
    marker = ws.root / "back"
    run = fault_kit.start_wrapped(ws, "clock", marker, steps=3, hold_at=2)
    kit.until_step(run, 2)
    marker.touch()
    beat = life.supervisor_beat(run.attempts()[0])
    kit.until(lambda: life.supervisor_beat(run.attempts()[0]).t > beat.t, "the next beat")
    assert not state.status(run).silent
    end(ws, run)
    audit(run)


@functools.cache
def no_flock() -> str:
    """A library that has no flock, as Lustre without `-o flock` (ENOSYS) or NFS without lockd."""
    folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"rmtui-no-flock-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    source = folder / "flock.c"
    source.write_text(
        "#include <errno.h>\n#include <stdlib.h>\n"
        'int flock(int fd, int how) { errno = atoi(getenv("NO_FLOCK")); return -1; }\n'
    )
    made = ["gcc", "-shared", "-fPIC", "-o", folder / "flock.so", source]
    if shutil.which("gcc") is None or subprocess.run(made, check=False).returncode:
        pytest.skip("no C compiler")
    return str(folder / "flock.so")


@pytest.mark.parametrize("number", [38, 37, 95], ids=["ENOSYS", "ENOLCK", "EOPNOTSUPP"])
def test_without_locks_a_launch_is_refused_in_words_and_the_doctor_says_so(ws, number):
    run = kit.start(ws, steps=1)
    kit.until_ended(run)
    inside = ["env", f"LD_PRELOAD={no_flock()}", f"NO_FLOCK={number}"]
    assert row(ws, inside, run)["state"] == "finished"
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]; import launch_kit as kit\n"
        "from rmtui.workspace import open_workspace\n"
        "from rmtui.errors import UserError\n"
        "from pathlib import Path\n"
        "try: kit.start(open_workspace(Path(sys.argv[1])), steps=1)\n"
        "except UserError as error: sys.exit(str(error))"
    )
    tests = [str(Path(fault_kit.REPO) / "tests" / name) for name in ("launch", "")]
    line = [*inside, sys.executable, "-c", code, str(ws.root), *tests]
    env = os.environ | {"PYTHONPATH": fault_kit.REPO}
    done = subprocess.run(line, env=env, capture_output=True, text=True, check=False)
    assert "no locks" in done.stderr and "flock" in done.stderr and "Traceback" not in done.stderr
    doctor = seen(ws, inside, "doctor", "--fast")
    assert "locks" in doctor.stdout and "no locks" in doctor.stdout


def test_without_locks_nobody_is_called_alive_for_ever(ws):
    """A training that was killed: what its lock cannot say is said to be unknown, not running."""
    run = held_run(ws)
    without_supervisor(run)
    for process in proc.tagged(run.id):
        kit.kill(process.proc)
    inside = ["env", f"LD_PRELOAD={no_flock()}", "NO_FLOCK=38"]
    found = row(ws, inside, run)
    assert found["state"] == "unknown" and "locks" in found["reason"]


@pytest.mark.parametrize("other", ["a workspace", "folders of a stranger", "a spoilt identity"])
def test_a_run_that_came_by_copy_shows_its_command_before_it_is_resumed(ws, tmp_path, audit, other):
    """cp of a stranger's run folder: its spec.toml names the command that a resume would execute. A stranger's folder
    with runs/ and presets/ has no identity when it is first opened, and nothing in it was launched here."""
    run = held_run(ws)
    stop.stop(ws, run.id, wait=True)
    if other == "folders of a stranger":
        for name in ("runs", "presets", "queue"):
            (tmp_path / "other" / name).mkdir(parents=True)
        other = open_workspace(tmp_path / "other")
    else:
        spoilt = other == "a spoilt identity"
        other = kit.make_workspace(tmp_path / "other")
        if spoilt:
            (other.queue / identity.FILE).write_text("{")
    subprocess.run(["cp", "-r", run.path, other.runs], check=True)
    done = fault_kit.rmtui(other, "resume", run.id)
    assert done.returncode == 2 and "came by copy" in done.stderr and "stand_in.py" in done.stderr
    assert len(RunFolder(other.runs / run.id).attempts()) == 1
    mine = RunFolder(other.runs / run.id)
    kit.go(mine)
    assert fault_kit.rmtui(other, "resume", run.id, "--own").returncode == 0
    assert kit.until_ended(mine).state == State.FINISHED
    kit.clean_up(other)
    audit(run)


def test_rm_of_a_run_folder_that_is_a_link_removes_what_it_leads_to(ws, tmp_path):
    run = kit.start(ws, steps=1, save_at=1)
    kit.until_ended(run)
    kit.until(lambda: not kit.attended(run))
    disk = tmp_path / "bigger-disk"
    disk.mkdir()
    run.path.rename(disk / run.id)
    run.path.symlink_to(disk / run.id)
    assert fault_kit.rmtui(ws, "rm", run.id, "--yes").returncode == 0
    assert list(disk.iterdir()) == [] and not run.path.is_symlink()


@pytest.mark.parametrize("target", ["a folder of photos", "a run of another workspace", "its own workspace's run"])
def test_rm_of_a_link_that_leads_elsewhere_deletes_nothing(ws, tmp_path, target):
    """A link in runs/ may have come with a stranger's folder."""
    if target == "a folder of photos":
        there = tmp_path / "photos"
        there.mkdir()
        (there / "spec.toml").touch()
    else:
        other = kit.make_workspace(tmp_path / "other") if "another" in target else ws
        there = RunFolder.create(other.runs, kit.spec()).path
    link = ws.runs / "20260101-000000-abcd"
    link.symlink_to(there)
    done = fault_kit.rmtui(ws, "rm", link.name, "--yes")
    assert done.returncode == 2 and f"it is a link to {there}" in done.stderr
    assert (there / "spec.toml").exists() and link.is_symlink()
    question = fault_kit.rmtui(ws, "rm", link.name)
    assert f"{there} is deleted" in question.stderr, "what a yes would delete is said before"


def test_a_dead_run_is_final_at_once_when_its_last_word_cannot_be_written(ws, monkeypatch):
    run = held_run(ws)
    (run.path / "attempt-1" / "exit.json").mkdir()  # the rename onto it fails, as on a disk that is read-only
    kit.go(run)
    kit.until(lambda: run.attempts()[0].result() is not None, "the trainer's end")
    assert kit.until(lambda: (now := state.status(run)).state.final and now, "the end", 4).state == State.FINISHED


@pytest.mark.parametrize("adopted", [False, True])
def test_a_workspace_that_is_renamed_while_it_trains_is_followed(ws, adopted):
    """Its requests come to the new place, its end is found there, and nothing is made at the old one."""
    run, waiting = held_run(ws), kit.start(ws, steps=1)
    if adopted:
        without_supervisor(run)
        adopt.adopt_all(ws)
        kit.until(lambda: state.status(run).supervised, "the adoption")
    there = open_workspace(ws.root.rename(ws.root.with_name("renamed")))
    moved, next_one = RunFolder(there.runs / run.id), RunFolder(there.runs / waiting.id)
    try:
        assert state.status(moved).state == State.RUNNING
        assert state.status(next_one).state == State.QUEUED, "the CPU is taken"
        assert stop.stop(there, run.id, now=True, wait=True).state == State.KILLED
        assert kit.until_ended(next_one).state == State.FINISHED
        kit.until(lambda: not kit.attended(next_one))
        assert fault_kit.settle(there, moved).state == State.KILLED and not proc.tagged(run.id)
        with runs.reading(there) as index:
            assert {each.state for each in index.runs()} == {State.KILLED, State.FINISHED}
        assert not ws.root.exists()
    finally:
        kit.clean_up(there)
