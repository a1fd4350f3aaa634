"""A run's life with the stand-in trainer: start, end, stop, resume, queue. Real processes, real locks."""

from __future__ import annotations

import json
import os
import signal
import stat
from pathlib import Path

import launch_kit as kit
import pytest

from rmtui.errors import UserError
from rmtui.operations import adopt, launch, queue, resume, stop
from rmtui.runs import proc, state
from rmtui.runs.model import State


def test_a_run_finishes(ws):
    run = kit.start(ws, steps=3)
    ended = launch.wait(ws, run.id)
    assert (ended.state, ended.resumable) == (State.FINISHED, False)
    assert [event["step"] for event in kit.events(run) if event["kind"] == "step"] == [1, 2, 3]
    assert run.last_attempt().exit()["exit_code"] == 0
    assert kit.none_left(run)


def test_launching_twice_runs_one_after_the_other_on_a_cpu(ws):
    first = kit.start(ws, steps=2, hold_at=1)
    kit.until_step(first, 1)
    second, third = kit.start(ws, steps=1), kit.start(ws, steps=1)
    assert [place.id for place in queue.places(ws)] == [second.id, third.id]
    assert "place 2" in state.status(third).reason
    queue.move(ws, third.id, 1)
    assert [place.id for place in queue.places(ws)] == [third.id, second.id]
    kit.go(first)
    assert kit.until_ended(second).state == kit.until_ended(third).state == State.FINISHED
    assert third.last_attempt().launch()["t"] < second.last_attempt().launch()["t"]
    assert queue.places(ws) == []


def test_a_waiting_run_can_be_taken_out_and_resumed_later(ws):
    first = kit.start(ws, steps=2, hold_at=1)
    kit.until_step(first, 1)
    waiting = kit.start(ws, steps=1)
    gone = stop.stop(ws, waiting.id)
    assert gone.state == State.STOPPED and "queue" in gone.reason
    kit.go(first)
    kit.until_ended(first)
    assert waiting.attempts() == []
    resume.resume(ws, waiting.id)
    assert kit.until(lambda: state.status(waiting).state == State.FINISHED, "the resumed run")


def test_stop_saves_and_resume_goes_on_without_a_repeated_step(ws):
    run = kit.start(ws, steps=6, hold_at=3)
    kit.until_step(run, 3)
    ended = stop.stop(ws, run.id, wait=True)
    assert ended.state == State.STOPPED and ended.resumable and "step 3" in ended.reason
    assert kit.none_left(run)
    kit.go(run)
    resumed = resume.resume(ws, run.id)
    assert (resumed.id, resumed.step) == (run.id, 3)
    assert launch.wait(ws, run.id).state == State.FINISHED
    assert [event["step"] for event in kit.events(run) if event["kind"] == "step"] == [1, 2, 3, 4, 5, 6]
    assert [attempt.n for attempt in run.attempts()] == [1, 2]


def test_a_broken_checkpoint_is_passed_over_with_a_word(ws):
    run = kit.start(ws, steps=6, save_at=2, hold_at=4)
    kit.until_step(run, 4)
    stop.stop(ws, run.id, wait=True)
    newest, before = run.checkpoints()
    (newest / "weights").write_bytes(b"x" * 1000)
    kit.go(run)
    resumed = resume.resume(ws, run.id)
    assert resumed.step == 2 and newest.name in resumed.warnings[0] and before.name == "step-000002"
    assert launch.wait(ws, run.id).state == State.FINISHED


def test_a_stop_asks_the_ranks_and_not_their_helpers(ws):
    run = kit.start(ws, steps=5, save_at=2, slow_save=True, child=True)
    kit.until(lambda: (run.control / "saving").exists() and len(proc.tagged(run.id)) == 2, "rank and helper")
    stop.stop(ws, run.id)
    kit.until(lambda: "asked to stop" in (run.last_attempt().logs / "rank0.log").read_text(), "the signal")
    assert not (run.control / "helper-asked").exists(), "not while its rank lives"
    kit.go(run)
    assert kit.until_ended(run).state == State.STOPPED, "though the helper had to be killed"
    assert kit.none_left(run)


def test_stop_now_kills_at_once(ws):
    run = kit.start(ws, steps=3, hold_at=1)
    kit.until_step(run, 1)
    ended = stop.stop(ws, run.id, now=True, wait=True)
    assert ended.state == State.KILLED and "at once" in ended.reason
    assert kit.none_left(run) and run.checkpoints() == []


def test_a_run_that_lives_waits_or_has_finished_is_not_resumed(ws):
    run = kit.start(ws, steps=2, hold_at=1)
    kit.until_step(run, 1)
    waiting = kit.start(ws, steps=1)
    for each, word in ((run, "stop it first"), (waiting, "queue")):
        with pytest.raises(UserError) as refused:
            resume.resume(ws, each.id)
        assert word in str(refused.value)
    kit.go(run)
    kit.until_ended(run)
    with pytest.raises(UserError, match="--epochs"):
        resume.resume(ws, run.id)


def test_a_finished_run_is_extended_as_a_linked_run(ws):
    run = kit.start(ws, steps=2)
    kit.until_ended(run)
    linked = resume.resume(ws, run.id, epochs=3)
    made = kit.RunFolder(ws.runs / linked.id)
    assert made.spec()["config"]["num_epochs"] == 2 and made.spec()["extends"] == run.id
    assert "epochs 2 to 3 are" in linked.warnings[0] and "start over" in linked.warnings[0]
    assert linked.weights == f"{run.name()} after step 2"
    assert launch.wait(ws, linked.id).state == State.FINISHED
    assert made.spec()["config"]["init_from"] == str(run.checkpoints()[0])


def test_out_of_memory_is_said_with_what_to_try_and_relaunched_so(ws):
    run = kit.start(ws, steps=5, crash={"rank": 0, "step": 2, "how": "oom"})
    ended = kit.until_ended(run)
    assert ended.state == State.FAILED
    assert ended.reason.startswith("out of memory on rank 0 at step 2: try batch size 2 × accumulation 4")
    made = kit.RunFolder(ws.runs / resume.relaunch_smaller(ws, run.id))
    assert made.spec()["config"]["batch_size"] == 2
    kit.until_ended(made)


def test_a_failure_is_told_with_type_rank_and_last_lines(ws):
    run = kit.start(ws, steps=5, crash={"rank": 0, "step": 2, "how": "raise"})
    ended = kit.until_ended(run)
    assert ended.state == State.FAILED and ended.resumable
    assert ended.reason == "ValueError: the data ended early (rank 0) at step 2"
    assert run.last_attempt().exit()["tail"][-1] == "about to crash: raise"


def test_a_killed_supervisor_is_replaced_and_the_run_ends_well(ws):
    run = kit.start(ws, steps=4, hold_at=2)
    kit.until_step(run, 2)
    kit.kill(kit.supervisor(run))
    orphaned = state.status(run)
    assert (orphaned.state, orphaned.supervised) == (State.RUNNING, False)
    assert adopt.adopt_all(ws) == [run.id]
    kit.until(lambda: state.status(run).supervised, "the adoption")
    assert adopt.adopt_all(ws) == []
    kit.go(run)
    assert kit.until_ended(run).state == State.FINISHED
    assert run.last_attempt().exit() is not None


def test_an_orphaned_training_keeps_its_slot(ws):
    run = kit.start(ws, steps=4, hold_at=2)
    kit.until_step(run, 2)
    kit.kill(kit.supervisor(run))
    second = kit.start(ws, steps=1)
    kit.until(lambda: state.status(second).reason.startswith("place 1"), "the second to wait")
    assert state.status(run).state == State.RUNNING and second.attempts() == []
    kit.go(run)
    assert kit.until_ended(second).state == State.FINISHED


def test_secrets_and_rights(ws, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hunter2-secret")
    run = kit.start(ws, steps=2, hold_at=1)
    kit.until_step(run, 1)
    (rank,) = proc.tagged(run.id)
    environment = Path(f"/proc/{rank.proc.pid}/environ").read_bytes()
    assert b"hunter2-secret" in environment, "the training itself gets the caller's environment"
    kit.go(run)
    kit.until_ended(run)
    for path in [run.path, *run.path.rglob("*")]:
        if path.name != "go":
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
            assert path.is_dir() or b"hunter2-secret" not in path.read_bytes(), path


def test_the_supervisor_keeps_nothing_of_its_caller(ws):
    read, write = os.pipe()
    os.set_inheritable(write, True)
    run = kit.start(ws, steps=2, hold_at=1)
    os.close(write)
    kit.until_step(run, 1)
    assert os.read(read, 1) == b"", "a reader of the caller's pipe sees its end while the training runs"
    os.close(read)
    me = kit.supervisor(run)
    (rank,) = proc.tagged(run.id)
    for pid in (me.pid, rank.proc.pid):
        assert os.getsid(pid) != os.getsid(0)
        assert not any(target.startswith("/dev/pts") for target in kit.descriptors(pid))
    assert not any(target.startswith("pipe:") for target in kit.descriptors(rank.proc.pid))
    assert "torch" not in Path(f"/proc/{me.pid}/maps").read_text()
    kit.go(run)
    kit.until_ended(run)


def test_stacks_are_written_into_the_ranks_log(ws):
    run = kit.start(ws, steps=2, hold_at=1)
    kit.until_step(run, 1)
    stop.stacks(ws, run.id)
    log = run.last_attempt().logs / "rank0.log"
    kit.until(lambda: "wait_for_go" in log.read_text(), "the stack in the log")
    assert state.status(run).state == State.RUNNING
    kit.go(run)
    kit.until_ended(run)


def test_commands_fire_with_names_in_the_environment_only(tmp_path):
    out = tmp_path / "said"
    command = f'printf "%s|%s" "$RMTUI_STATE" "$RMTUI_NAME" > {out}'
    ws = kit.make_workspace(tmp_path, f"on_finished = {json.dumps(command)}\n")
    document = kit.spec(steps=1) | {"name": "$(touch pwned)`x`; ls"}
    run = kit.RunFolder.create(ws.runs, document)
    launch.enqueue(ws, run)
    kit.until(lambda: out.exists() and out.read_text().count("|") == 1, "the command")
    assert out.read_text() == "finished|$(touch pwned)`x`; ls"
    assert not (ws.root / "pwned").exists()


def test_a_command_fires_for_a_kill_that_nobody_asked_for(tmp_path):
    ws = kit.make_workspace(tmp_path, 'on_failed = "echo $RMTUI_RUN_ID >> failures"\ncpu_runs = 2\n')
    asked, struck = kit.start(ws, steps=3, hold_at=2), kit.start(ws, steps=3, hold_at=2)
    for run in (asked, struck):
        kit.until_step(run, 2)
    assert stop.stop(ws, asked.id, now=True, wait=True).state == State.KILLED
    kit.until(lambda: not kit.attended(asked), "the first supervisor's end, after its commands")
    for process in proc.tagged(struck.id):
        kit.kill(process.proc)
    kit.until_ended(struck)
    kit.until(lambda: not kit.attended(struck), "the second's")
    kit.until((ws.root / "failures").exists, "the command")
    assert (ws.root / "failures").read_text().split() == [struck.id]


def test_signals_that_the_caller_ignores_are_not_ignored_by_the_training(ws):
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGHUP)}
    try:
        run = kit.start(ws, steps=2, hold_at=1)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    kit.until_step(run, 1)
    (rank,) = proc.tagged(run.id)
    lines = Path(f"/proc/{rank.proc.pid}/status").read_text().splitlines()
    ignored = next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn:"))
    assert not any(ignored >> (number - 1) & 1 for number in before)
    kit.go(run)
    kit.until_ended(run)
