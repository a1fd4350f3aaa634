"""Processes killed, stopped, deaf, forked, reused: two real ranks under accelerate, the stand-in as their program."""

from __future__ import annotations

import fcntl
import functools
import os
import pty
import signal
import socket
import subprocess
import sys
import termios
import threading
from pathlib import Path

import fault_kit
import launch_kit as kit
import pytest

import rmtui
from rmtui.errors import UserError
from rmtui.launch import process, spawn
from rmtui.operations import adopt, resume, stop
from rmtui.runs import proc, state
from rmtui.runs.files import lock_held
from rmtui.runs.model import State

NOBODY = f"some-run-{os.getpid()}"
"""Id of no run, for processes of ours: other tests may go on beside these."""
REPO = str(Path(rmtui.__file__).parent.parent)


def two_ranks(ws, **how):
    return kit.start(ws, "accelerate", 2, **how)


def ranks(run) -> list[proc.Tagged]:
    return sorted(process.ranks(proc.tagged(run.id)), key=lambda each: each.rank)


def launcher(run) -> proc.Proc:
    return next(each.proc for each in proc.tagged(run.id) if process.is_launcher(each))


def test_two_ranks_run_though_the_default_port_is_taken(ws, audit):
    with socket.socket() as taken:
        try:
            taken.bind(("127.0.0.1", 29500))
            taken.listen()
        except OSError:
            pass  # somebody else has it, which is as good
        run = two_ranks(ws, steps=3, hold_at=2)
        kit.until_step(run, 2, ranks=2)
        assert [each.rank for each in ranks(run)] == [0, 1]
        kit.go(run)
        kit.until_ended(run)
    assert audit(run).state == State.FINISHED


def test_one_rank_killed(ws, audit):
    run = two_ranks(ws, steps=5, hold_at=2)
    kit.until_step(run, 2, ranks=2)
    kit.kill(ranks(run)[1].proc)
    kit.until_ended(run)
    ended = audit(run)
    assert (ended.state, ended.reason) == (State.KILLED, "rank 1 was killed (SIGKILL) at step 2")


def test_while_the_others_end_a_run_with_a_dead_rank_does_not_look_running(ws, audit):
    run = two_ranks(ws, grace=3.0, steps=5, hold_at=2, deaf=True)
    kit.until_step(run, 2, ranks=2)
    kit.kill(ranks(run)[1].proc)
    now = kit.until_state(run, State.STOPPING)
    assert now.reason == "rank 1 is gone; the others are ending"
    assert [each.rank for each in ranks(run)] == [0], "said while the other still lives"
    kit.until_ended(run)
    assert audit(run).reason == "rank 1 was killed (SIGKILL) at step 2"


def test_one_rank_exits_with_a_code(ws, audit):
    run = two_ranks(ws, steps=5, hold_at=4, crash={"rank": 1, "step": 3, "how": 3})
    kit.until_ended(run)
    ended = audit(run)
    assert ended.state == State.FAILED
    assert ended.reason.startswith("rank 1 exited with code 3 at step") and "about to crash" in ended.reason


def test_one_rank_stopped_is_seen_behind_and_a_stop_still_saves(ws, audit):
    run = two_ranks(ws, steps=60, hold_at=50, crash={"rank": 1, "step": 20, "how": "stop"})
    last = kit.until(run.last_attempt, "the attempt")
    kit.until(lambda: last.rank_steps().get(0, (0,))[0] == 50, "rank 0 at its step")
    kit.until(lambda: "T" in {each.state for each in ranks(run)}, "the stopped rank")
    _, beat = last.rank_steps()[0]
    words = state.stall(last, now=beat + 390)
    assert words.startswith("no step for 6 min, usually 0.") and words.endswith("rank 1 is behind")
    ended = stop.stop(ws, run.id, wait=True)
    assert ended.state == State.STOPPED and audit(run).resumable


def test_the_launcher_killed_leaves_no_rank_training(ws, audit):
    run = two_ranks(ws, steps=5, hold_at=2)
    kit.until_step(run, 2, ranks=2)
    kit.kill(launcher(run))
    kit.until_ended(run)
    ended = audit(run)
    assert ended.state == State.KILLED and "launcher" in ended.reason
    assert resume.resume(ws, run.id).step == 2, "the ranks saved before they went"
    kit.go(run)
    assert kit.until(lambda: state.status(run).state == State.FINISHED, "the resumed run")
    audit(run)


def test_ranks_that_ignore_term_are_killed_after_the_grace(ws, audit):
    run = two_ranks(ws, grace=1.0, steps=5, hold_at=2, deaf=True)
    kit.until_step(run, 2, ranks=2)
    heard = []
    ended = stop.stop(ws, run.id, wait=True, said=heard.append)
    assert any("will be killed in" in status.reason for status in heard), "the countdown is shown"
    assert ended.state == State.KILLED and "did not stop in time" in ended.reason
    audit(run)


def test_supervisor_and_launcher_killed_ranks_are_adopted(ws, audit):
    run = two_ranks(ws, steps=5, hold_at=2)
    kit.until_step(run, 2, ranks=2)
    kit.kill(kit.supervisor(run))
    kit.kill(launcher(run))
    adopt.adopt_all(ws)
    assert audit(run).state in (State.INTERRUPTED, State.KILLED)
    assert resume.resume(ws, run.id).step == 2


def test_a_training_that_dies_while_it_is_adopted_never_looks_alive_again(ws, audit):
    run = kit.start(ws, steps=5, hold_at=2)
    kit.until_step(run, 2)
    (rank,) = proc.tagged(run.id)
    kit.kill(kit.supervisor(run))
    kit.kill(rank.proc)
    adopter = threading.Thread(target=spawn.adopt, args=(run, 1))  # whoever asked for it saw the rank alive
    adopter.start()
    seen = []
    kit.until(lambda: seen.append(state.status(run).state) or run.last_attempt().exit(), "the adopter's last word")
    adopter.join()
    assert set(seen) == {State.INTERRUPTED}
    assert audit(run).state == State.INTERRUPTED


def test_an_adopter_leaves_a_living_supervisor_its_run(ws, audit):
    run = kit.start(ws, steps=5, hold_at=2)
    kit.until_step(run, 2)
    mine = kit.supervisor(run)
    spawn.adopt(run, 1)
    lock = run.last_attempt().path / "adopter.lock"
    kit.until(lambda: lock.exists() and not lock_held(lock), "the adopter to give up")
    assert proc.alive(mine) and state.status(run).state == State.RUNNING
    kit.go(run)
    kit.until_ended(run)
    assert audit(run).state == State.FINISHED


def test_an_adopter_leaves_the_last_word_to_a_supervisor_that_still_lives(ws, audit):
    run = kit.start(ws, steps=5, hold_at=2)
    kit.until_step(run, 2)
    slow, (rank,) = kit.supervisor(run), proc.tagged(run.id)
    os.kill(slow.pid, signal.SIGSTOP)
    kit.kill(rank.proc)
    spawn.adopt(run, 1)
    lock = run.last_attempt().path / "adopter.lock"
    kit.until(lambda: lock.exists() and not lock_held(lock), "the adopter to give up")
    assert run.last_attempt().exit() is None
    os.kill(slow.pid, signal.SIGCONT)
    kit.until_ended(run)
    assert audit(run).reason == "the launcher was killed (SIGKILL) at step 2"


def test_a_child_that_outlives_its_rank_is_ended(ws, audit):
    run = kit.start(ws, steps=2, child=True)
    kit.until_ended(run)
    assert audit(run).state == State.FINISHED


def test_the_app_killed_and_its_terminal_closed(ws, audit):
    """A launching program on a terminal of its own: SIGKILLed, then the terminal goes away under the next one."""
    script = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path; import launch_kit as kit; from rmtui import workspace; import signal\n"
        "run = kit.start(workspace.open_workspace(Path(sys.argv[1])), steps=3, hold_at=2)\n"
        "print(run.id, flush=True); signal.pause()\n"
    )
    here = Path(kit.__file__).parent
    for how in ("kill", "close"):
        master, slave = pty.openpty()
        app = subprocess.Popen(
            [sys.executable, "-c", script, str(ws.root), str(here), str(here.parent), REPO],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=functools.partial(_own_terminal, slave),
        )
        os.close(slave)
        run = kit.RunFolder(ws.runs / os.read(master, 100).decode().strip())
        kit.until_step(run, 2)
        if how == "kill":
            app.kill()
        os.close(master)
        assert app.wait(60) == (-signal.SIGKILL if how == "kill" else -signal.SIGHUP)
        assert state.status(run).state == State.RUNNING and state.status(run).supervised
        kit.go(run)
        kit.until_ended(run)
        assert audit(run).state == State.FINISHED


def _own_terminal(slave):
    """Between fork and exec: the terminal controls the new session, and its hang-up counts even under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


def test_a_reused_pid_is_not_the_run(ws, audit):
    run = kit.start(ws, steps=3, hold_at=2)
    kit.until_step(run, 2)
    (rank,) = proc.tagged(run.id)
    stranger = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    try:
        reused = proc.Proc(stranger.pid, rank.proc.started)
        assert not proc.alive(reused) and not proc.signal(reused, signal.SIGKILL)
        kit.kill(kit.supervisor(run))
        kit.kill(rank.proc)
        launched = run.last_attempt().launch() | {"pid": stranger.pid}
        kit.write_json(run.last_attempt().path / "launch.json", launched)
        assert state.status(run).state == State.INTERRUPTED
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
    audit(run)


def test_a_zombie_is_dead(ws):
    env = os.environ | {proc.TAG: f"{NOBODY}:1:abc"}
    child = subprocess.Popen([sys.executable, "-c", "pass"], env=env)
    here = proc.find(child.pid)
    kit.until(lambda: Path(f"/proc/{child.pid}/stat").read_text().split()[2] == "Z", "the zombie")
    assert not proc.alive(here) and proc.tagged(NOBODY) == []
    child.wait()


def test_a_process_lives_as_long_as_its_last_thread(ws):
    """Killed, the first thread is often a zombie while others still hold locks and devices."""
    first_ends = "import ctypes, signal, threading; threading.Thread(target=signal.pause).start(); "
    env = os.environ | {proc.TAG: f"{NOBODY}:1:abc", "RANK": "1"}
    child = subprocess.Popen([sys.executable, "-c", f"{first_ends}ctypes.CDLL(None).pthread_exit(None)"], env=env)
    try:
        here = proc.find(child.pid)
        kit.until(lambda: Path(f"/proc/{child.pid}/stat").read_text().split()[2] == "Z", "the first thread's end")
        assert proc.alive(here) and proc.state_letter(here) == "S"
        (found,) = proc.tagged(NOBODY)
        assert (found.proc, found.rank) == (here, 1)
        kit.kill(here)
        assert proc.tagged(NOBODY) == []
    finally:
        child.kill()
        child.wait()


def test_two_people_stop_the_same_run(ws, audit):
    run = kit.start(ws, steps=3, hold_at=2)
    kit.until_step(run, 2)
    ends: list = []
    people = [threading.Thread(target=lambda: ends.append(stop.stop(ws, run.id, wait=True))) for _ in range(2)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert [end.state for end in ends] == [State.STOPPED, State.STOPPED]
    audit(run)


def test_stop_while_starting(ws, audit):
    run = two_ranks(ws, steps=3, hold_at=1)
    kit.until_state(run, State.STARTING)
    ended = stop.stop(ws, run.id, wait=True)
    assert ended.state == State.STOPPED and "before the first step" in ended.reason
    audit(run)


def test_stop_while_saving_waits_for_the_checkpoint(ws, audit):
    run = kit.start(ws, steps=5, save_at=2, slow_save=True)
    kit.until(lambda: (run.control / "saving").exists(), "the save")
    stop.stop(ws, run.id)
    assert state.status(run).state == State.STOPPING and run.checkpoints() == []
    log = run.last_attempt().logs / "rank0.log"
    kit.until(lambda: "asked to stop" in log.read_text(), "the signal")
    kit.go(run)
    kit.until_ended(run)
    assert audit(run).state == State.STOPPED
    assert resume.resume(ws, run.id).step == 2


def test_stop_after_the_end_changes_nothing(ws, audit):
    run = kit.start(ws, steps=2)
    kit.until_ended(run)
    before = (run.last_attempt().path / "exit.json").read_bytes()
    assert stop.stop(ws, run.id).state == State.FINISHED
    assert (run.last_attempt().path / "exit.json").read_bytes() == before and not list(run.control.glob("stop-*"))
    audit(run)


def test_two_resumes_at_once_make_one_attempt(ws, audit):
    run = kit.start(ws, steps=4, hold_at=2)
    kit.until_step(run, 2)
    stop.stop(ws, run.id, wait=True)
    outcomes: list = []

    def go_on() -> None:
        try:
            outcomes.append(resume.resume(ws, run.id).step)
        except UserError as error:
            outcomes.append(error.what)

    people = [threading.Thread(target=go_on) for _ in range(4)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert sum(outcome == 2 for outcome in outcomes) == 1, outcomes
    kit.go(run)
    kit.until(lambda: state.status(run).state == State.FINISHED, "the resumed run")
    assert [attempt.n for attempt in run.attempts()] == [1, 2]
    audit(run)


def test_a_kill_inside_a_checkpoint_leaves_the_one_before(ws, audit):
    run = kit.start(ws, steps=6, hold_at=2)
    kit.until_step(run, 2)
    stop.stop(ws, run.id, wait=True)
    spec = run.spec()
    spec["stand_in"] = {"steps": 6, "save_at": 4, "slow_save": True}
    kit.write_toml(run.path / "spec.toml", spec)
    resume.resume(ws, run.id)
    kit.until(lambda: (run.control / "saving").exists(), "the second save")
    stop.stop(ws, run.id, now=True, wait=True)
    assert [path.name for path in run.checkpoints()] == ["step-000002"]
    assert resume.resume(ws, run.id).step == 2
    kit.until(lambda: (run.last_attempt().n == 3) and fault_kit.steps(run)[-1] == 4, "the third attempt's save")
    kit.go(run)
    kit.until(lambda: state.status(run).state == State.FINISHED, "the end")
    audit(run)


FREEZER = Path("/sys/fs/cgroup/freezer")
MEMORY = Path("/sys/fs/cgroup/memory")


@pytest.fixture
def group(request):
    """A control group of our own, removed when its processes are gone."""
    base = Path(request.param)
    folder = base / f"rmtui-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    yield folder
    if (folder / "freezer.state").exists():
        (folder / "freezer.state").write_text("THAWED")
    kit.until(lambda: not (folder / "tasks").read_text().strip(), "the control group to empty")
    folder.rmdir()


@pytest.mark.parametrize("group", [FREEZER], indirect=True)
def test_a_process_that_the_kernel_does_not_let_die_is_named_and_keeps_its_device(ws, audit, group, monkeypatch):
    run = kit.start(ws, steps=3, hold_at=2)
    kit.until_step(run, 2)
    (rank,) = proc.tagged(run.id)
    (group / "tasks").write_text(str(rank.proc.pid))
    (group / "freezer.state").write_text("FROZEN")
    stop.stop(ws, run.id, now=True)
    kit.until(lambda: f"pid {rank.proc.pid}" in state.status(run).reason, "the word on the unkillable process")
    assert state.status(run).state == State.STOPPING and "stay taken" in state.status(run).reason
    second = kit.start(ws, steps=1)
    kit.until(lambda: state.status(second).supervised, "the second to wait")
    assert second.attempts() == []
    (group / "freezer.state").write_text("THAWED")
    kit.until_ended(run)
    kit.until_ended(second)
    assert audit(run).state == State.KILLED and audit(second).state == State.FINISHED


@pytest.mark.parametrize("group", [MEMORY], indirect=True)
def test_the_kernels_kill_for_memory_is_called_so(ws, audit, group):
    run = kit.start(ws, steps=3, hold_at=2, eat_memory=True)
    kit.until_step(run, 2)
    (rank,) = proc.tagged(run.id)
    (group / "memory.limit_in_bytes").write_text(str(64 << 20))
    (group / "tasks").write_text(str(rank.proc.pid))
    kit.go(run)
    kit.until_ended(run)
    ended = audit(run)
    assert ended.state == State.KILLED and "out of memory" in ended.reason and "step 2" in ended.reason
    assert resume.memory_suggestion(ws, run.id) == {
        "batch_size": 2, "gradient_accumulation_steps": 4, "max_length": 512,
    }  # fmt: skip
