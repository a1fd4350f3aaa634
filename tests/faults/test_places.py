"""Workspaces and runs that were copied, linked, mounted, renamed or deleted while they train, by every usual means."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import fault_kit
import launch_kit as kit
import pytest
import support

from rmtui.errors import UserError
from rmtui.launch import orphans
from rmtui.operations import adopt, resume, runs, stop
from rmtui.runs import identity, life, proc, state
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import State
from rmtui.workspace import Workspace, open_workspace

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts are made by root")


@pytest.fixture
def run(ws) -> RunFolder:
    made = kit.start(ws, steps=5, hold_at=2, save_at=2)
    kit.until_step(made, 2)
    return made


def end(ws: Workspace, run: RunFolder) -> None:
    kit.go(run)
    assert fault_kit.settle(ws, run).state == State.FINISHED


COPIES = {
    "cp -a": ["cp", "-a"],
    "hard links": ["cp", "-al"],
    "no times": ["cp", "-r", "--no-preserve=all"],
    "tar": ["sh", "-c", 'mkdir "$2" && tar -C "$1" -cf - . | tar -C "$2" -xf -', "sh"],
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("supervised", [True, False], ids=["supervised", "alone"])
def test_no_way_of_copying_a_workspace_makes_its_trainings_the_copys(ws, audit, run, how, supervised):
    if not supervised:
        kit.kill(kit.supervisor(run))
    there = ws.root.with_name("copy")
    subprocess.run([*COPIES[how], ws.root, there], check=True)
    copy = open_workspace(there)
    assert identity.copied_from(there) == ws.root
    now = state.status(RunFolder(copy.runs / run.id))
    assert now.state == State.UNKNOWN and f"copy of {run.path}" in now.reason
    assert adopt.adopt_all(copy) == [] and orphans.end(copy) == []
    for refused in (lambda: stop.stop(copy, run.id, now=True), lambda: runs.remove(copy, run.id, not_running=True)):
        with pytest.raises(UserError, match="copy of"):
            refused()
    assert proc.tagged(run.id) and not run.requests("stop", 1)
    end(ws, run)
    audit(run)


def test_an_owned_copy_that_is_synced_again_is_a_copy_again(ws, audit, run):
    """As rsync does it: every file of the original over those of the copy."""
    there = ws.root.with_name("copy")
    for _ in range(2):
        subprocess.run(["cp", "-a", f"{ws.root}/.", there], check=True)
        assert identity.copied_from(there) == ws.root
        assert fault_kit.rmtui(open_workspace(there), "workspace", "--own").returncode == 0
        assert identity.copied_from(there) is None
    copy = open_workspace(there)
    assert adopt.adopt_all(copy) == [] and orphans.end(copy) == []
    end(ws, run)
    audit(run)


def test_a_copy_whose_original_moved_away_still_leaves_its_training_alone(ws, audit, run):
    """It cannot be told from a workspace that moved, but the living processes say where they are."""
    there = ws.root.with_name("copy")
    subprocess.run(["cp", "-a", ws.root, there], check=True)
    away = open_workspace(ws.root.rename(ws.root.with_name("away")))
    copy, first = open_workspace(there), RunFolder(away.runs / run.id)
    assert identity.copied_from(there) is None
    now = state.status(RunFolder(copy.runs / run.id))
    assert now.state == State.UNKNOWN and "a copy of" in now.reason
    assert adopt.adopt_all(copy) == [] and orphans.end(copy) == []
    with contextlib.suppress(UserError):
        stop.stop(copy, run.id, now=True)
    assert state.status(first).state == State.RUNNING and proc.tagged(run.id)
    assert stop.stop(away, run.id, now=True, wait=True).state == State.KILLED
    assert not proc.tagged(run.id)
    kit.clean_up(away)


@pytest.mark.parametrize("name", ["twin", "20200101-000000-0001"])
def test_a_run_folder_that_was_copied_beside_itself_is_no_second_training(ws, audit, run, name):
    shutil.copytree(run.path, ws.runs / name)
    twin = RunFolder(ws.runs / name)
    now = state.status(twin)
    assert now.state == State.UNKNOWN and f"a copy of {run.path}" in now.reason
    with pytest.raises(UserError):
        resume.resume(ws, name, inexact=True)
    assert orphans.end(ws) == [] and state.status(run).state == State.RUNNING
    end(ws, run)
    audit(run, index=False)


@pytest.mark.parametrize("now", [True, False])
def test_a_run_folder_that_was_renamed_is_stopped_under_its_new_name(ws, run, now):
    moved = RunFolder(run.path.rename(ws.runs / "20200101-000000-0002"))
    assert state.status(moved).state == State.RUNNING
    assert stop.stop(ws, moved.id, now=now, wait=True).state == (State.KILLED if now else State.STOPPED)
    assert not proc.tagged(run.id)


@needs_root
def test_a_bind_mount_is_the_same_workspace_under_another_path(ws, audit, run, tmp_path):
    """As in a second container: its verbs work on the run, under another host name and other pids, too."""
    other = tmp_path / "mounted"
    other.mkdir()
    line = ["unshare", "--mount", "--uts", "sh", "-c", 'hostname box && mount --bind "$1" "$2" && shift 2 && exec "$@"']
    words = [sys.executable, "-m", "rmtui", "-C", str(other), "stop", run.id, "--wait"]
    done = subprocess.run(
        [*line, "sh", ws.root, other, *words],
        env=fault_kit.verb_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert state.status(run).state == State.STOPPED
    identity.ensure(ws.root)
    assert identity.read(ws.root).path == str(ws.root.resolve())
    audit(run)


@pytest.mark.parametrize("what", ["supervisor.lock", "launcher.lock", "ranks/rank0", "launch.json", "events.jsonl"])
def test_a_file_of_a_living_run_that_was_deleted_starts_no_second_training(ws, run, what):
    (run.path / "attempt-1" / what).unlink()
    before = {each.proc for each in proc.tagged(run.id)}
    with contextlib.suppress(UserError):
        resume.resume(ws, run.id, inexact=True, not_running=True)
    adopt.adopt_all(ws)
    assert {each.proc for each in proc.tagged(run.id)} == before and len(run.attempts()) == 1
    kit.go(run)
    kit.until(lambda: not proc.tagged(run.id), "its end")
    kit.until(lambda: not kit.attended(run), "its supervisors' ends")
    assert state.status(run).state == State.FINISHED


@pytest.mark.parametrize("what", ["attempt-1", "control", "."])
def test_folders_of_a_living_run_that_were_deleted_leave_no_process(ws, audit, run, what):
    shutil.rmtree(run.path / what)
    if what == "control":
        stop.stop(ws, run.id, wait=True)
    kit.until(lambda: not kit.attended(run), "its supervisor's end")
    assert not proc.tagged(run.id)
    following = kit.start(ws, steps=1)
    assert kit.until_ended(following).state == State.FINISHED, "the next run gets its turn"
    audit(following)


TAGS = {
    "empty": "",
    "colons": "::::",
    "three fields": "{run}:1:{nonce}",
    "another place": "{run}:1:{nonce}:1.1",
    "no number": "{run}:x:{nonce}:{place}",
    "huge number": "{run}:99999999999999999999:{nonce}:{place}",
    "control characters": "{run}:1:{nonce}\x1b[2J:{place}",
    "another nonce": "{run}:1:feed:{place}",
    "another attempt": "{run}:2:{nonce}:{place}",
    "long": "{run}:1:" + "f" * 100_000 + ":{place}",
}


@pytest.mark.parametrize("tag", TAGS)
def test_a_process_whose_tag_is_only_like_a_runs_is_nobodys(ws, audit, run, tag):
    """Whatever stands in a stranger's environment: neither a stop nor the doctor touches it."""
    launch = run.attempts()[0].launch()
    text = TAGS[tag].format(run=run.id, nonce=launch["nonce"], place=launch["place"])
    stranger = subprocess.Popen(["sleep", "1000"], env={proc.TAG: text}, cwd="/", start_new_session=True)
    try:
        found = life.processes(run.attempts()[0], launch)
        assert stranger.pid not in {each.proc.pid for each in found}
        assert stop.stop(ws, run.id, now=True, wait=True).state == State.KILLED
        orphans.end(ws)
        adopt.adopt_all(ws)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
    audit(run)


@pytest.mark.parametrize("dead", [True, False])
def test_a_lock_that_a_stranger_holds_neither_revives_nor_ends_a_run(ws, run, dead):
    """A backup program that locks what it reads: the run looks alive while it does so, and nothing hangs."""
    lock = run.attempts()[0].lock
    kit.kill(kit.supervisor(run))
    if dead:
        for each in proc.tagged(run.id):
            kit.kill(each.proc)
    stranger = subprocess.Popen(["flock", "--shared", lock, "sleep", "1000"], start_new_session=True)
    try:
        kit.until(lambda: b"sleep" in Path(f"/proc/{stranger.pid}/cmdline").read_bytes() or stranger.poll() is None)
        kit.until(lambda: state.lock_held(lock) is False, "a shared lock to be no supervisor's")
        assert state.status(run).state == (State.INTERRUPTED if dead else State.RUNNING)
        fault_kit.rmtui(ws, "ls")
        assert stranger.poll() is None
    finally:
        os.killpg(stranger.pid, signal.SIGKILL)
        stranger.wait()
    if not dead:
        end(ws, run)


@pytest.mark.parametrize("supervised", [True, False])
def test_foreign_bundles_of_a_living_runs_id_end_nothing(ws, audit, run, tmp_path, supervised):
    """Exported here, imported elsewhere on this machine: it is refused, and touches nothing."""
    if not supervised:
        kit.kill(kit.supervisor(run))
    out = tmp_path / "bundle.tar.gz"
    assert fault_kit.rmtui(ws, "export", run.id, "-o", str(out)).returncode == 0
    other = kit.make_workspace(tmp_path / "elsewhere")
    refused = fault_kit.rmtui(other, "import", str(out))
    assert refused.returncode == 2 and "is training on this machine" in refused.stderr
    with contextlib.suppress(UserError):
        stop.stop(other, run.id, now=True)
    assert adopt.adopt_all(other) == [] and orphans.end(other) == []
    assert state.status(run).state == State.RUNNING and proc.tagged(run.id)
    end(ws, run)
    audit(run)


OTHERS = (
    *(["ls"], ["show", "RUN"], ["logs", "RUN", "--tail", "1"], ["stop", "RUN"], ["stop", "RUN", "--now"]),
    *(["resume", "RUN", "--not-running"], ["rm", "RUN", "--yes", "--not-running"], ["note", "RUN", "x"]),
    *(["queue", "--start"], ["workspace", "--own"], ["doctor", "--fast", "--end-orphans"], ["rebuild"]),
)
MAY_ONLY_LOOK = {"ls", "show", "logs", "queue", "rebuild"}


@needs_root
@pytest.mark.parametrize("supervised", [True, False], ids=["supervised", "alone"])
def test_another_user_who_may_read_a_workspace_sees_it_and_changes_nothing(ws, audit, run, tmp_path, supervised):
    if not supervised:
        kit.kill(kit.supervisor(run))
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 65534, 65534)
    for above in tmp_path.parents[:2]:
        above.chmod(0o711)
    may_read = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *may_read]
    env = fault_kit.verb_environment() | {"HOME": str(home), "XDG_STATE_HOME": str(home)}
    before = {each.proc for each in proc.tagged(run.id)}
    for words in OTHERS:
        line = [*user, *fault_kit.verb_line(ws, *(run.id if word == "RUN" else word for word in words))]
        done = subprocess.run(line, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        assert (done.returncode == 0) == (words[0] in MAY_ONLY_LOOK), (words, done.stdout, done.stderr)
        if words == ["ls"]:
            assert "running" in done.stdout
    assert {each.proc for each in proc.tagged(run.id)} == before and len(run.attempts()) == 1
    assert not run.requests("stop", 1) and state.status(run).state == State.RUNNING
    end(ws, run)
    audit(run)


def test_an_import_that_is_killed_leaves_nothing(ws, tmp_path):
    """SIGKILL in the middle of unpacking: nobody has to import again for the disk to be free."""
    big = support.make_run_folder(ws, "big")
    (big.path / "checkpoints" / "step-000001").mkdir(parents=True)
    (big.path / "checkpoints" / "step-000001" / "model.safetensors").write_bytes(os.urandom(1 << 20) * 64)
    out = tmp_path / "big.tar"
    subprocess.run(["tar", "-C", ws.runs, "-cf", out, big.id], check=True)
    other = kit.make_workspace(tmp_path / "elsewhere")
    line = fault_kit.verb_line(other, "import", str(out))
    verb = subprocess.Popen(line, env=fault_kit.verb_environment(), start_new_session=True)
    kit.until(lambda: any(other.runs.glob(".import-*/*/checkpoints/*/*")) or verb.poll() is not None, "unpacking")
    os.killpg(verb.pid, signal.SIGKILL)
    assert verb.wait() == -signal.SIGKILL, "it was faster"
    kit.until(lambda: not any(other.runs.iterdir()), "an empty folder of runs")
