"""States derived from what is on disk: other machines, restarts, cut-off starts, stalls."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import launch_kit as kit
import pytest

from rmtui import text
from rmtui.errors import UserError
from rmtui.operations import resume, stop
from rmtui.runs import proc, state
from rmtui.runs.files import lock_held
from rmtui.runs.model import State


@pytest.fixture
def run(ws):
    return kit.RunFolder.create(ws.runs, kit.spec())


def attempt_of(run, **launch):
    """An attempt whose supervisor is gone, with this in its launch.json."""
    made, lock = run.new_attempt(1)
    os.close(lock)
    facts = {"kind": "local", "t": time.time(), "host": proc.host(), "boot_id": proc.boot_id(), "nonce": "ff"}
    kit.write_json(made.path / "launch.json", facts | launch)
    return made


def test_a_folder_without_ticket_or_attempt_was_cut_off_and_can_go_on(run):
    now = state.status(run)
    assert now.state == State.INTERRUPTED and now.resumable


def test_another_machine_is_not_judged_and_not_resumed_without_force(ws, run):
    attempt_of(run, host="node7")
    now = state.status(run)
    assert (now.state, now.resumable) == (State.UNKNOWN, False) and "node7" in now.reason
    for operation in (resume.resume, stop.stop):
        with pytest.raises(UserError, match="node7"):
            operation(ws, run.id)
    assert resume.resume(ws, run.id, force=True).step == 0
    kit.until_ended(run)


def test_after_a_restart_of_the_machine_a_run_is_interrupted_with_the_time(run):
    attempt_of(run, boot_id="another")
    now = state.status(run)
    assert now.state == State.INTERRUPTED and now.resumable
    assert now.reason == f"machine restarted at {text.clock(proc.boot_time(), time.time())}"


def test_an_attempt_that_is_held_is_starting_then_running(run):
    made, lock = run.new_attempt(1)
    assert state.status(run).state == State.STARTING
    (made.ranks / "rank0").write_text(f"1 2 {time.time()}\n")
    assert state.status(run).state == State.RUNNING
    run.request_stop(False, "ann")
    assert state.status(run).state == State.STOPPING
    os.close(lock)
    assert state.status(run).state == State.INTERRUPTED


def test_readers_do_not_disturb_each_other_or_the_holder(run):
    made, lock = run.new_attempt(1)
    assert all(lock_held(made.lock) for _ in range(50))
    os.close(lock)
    with ThreadPoolExecutor(4) as readers:
        seen = readers.map(lambda _: [lock_held(made.lock) for _ in range(500)], range(4))
    assert not any(map(any, seen)), "a reader must not take another reader for the holder"


@pytest.mark.parametrize(
    ("result", "wanted"),
    [
        ({"outcome": "finished", "reason": "epochs", "step": 9}, State.FINISHED),
        ({"outcome": "failed", "reason": "NaN", "step": 9}, State.FAILED),
        ({"outcome": "stopped", "reason": "SIGTERM", "step": 9}, State.INTERRUPTED),
        ({}, State.INTERRUPTED),
    ],
)
def test_without_the_supervisors_last_word_the_trainers_counts(run, result, wanted):
    made = attempt_of(run)
    if result:
        kit.write_json(made.path / "result.json", result)
    assert state.status(run).state == wanted


def test_a_torn_last_word_is_none(run):
    made = attempt_of(run)
    (made.path / "exit.json").write_text('{"outcome": "fini')
    assert state.status(run).state == State.INTERRUPTED
    (made.path / "exit.json").write_text('{"outcome": "running"}')
    assert state.status(run).state == State.INTERRUPTED


def test_a_stall_is_told_in_the_runs_own_measure(run):
    made, lock = run.new_attempt(1)
    from trainer.events import Event, EventWriter

    with EventWriter(made.events) as writer:
        for step in range(1, 21):
            writer.write(Event("step", 1000 + 1.3 * step, step))
    last = 1000 + 1.3 * 20
    for rank in range(8):
        (made.ranks / f"rank{rank}").write_text(f"{19 if rank == 5 else 20} 0 {last - (1.3 if rank == 5 else 0)}\n")
    assert state.stall(made, now=last + 30) == ""
    assert state.stall(made, now=last + 365) == "no step for 6 min, usually 1.3 s; rank 5 is behind"
    os.close(lock)


def test_a_slow_training_is_not_called_stalled(run):
    made, lock = run.new_attempt(1)
    from trainer.events import Event, EventWriter

    with EventWriter(made.events) as writer:
        for step in range(1, 5):
            writer.write(Event("step", 1000 + 100 * step, step))
    (made.ranks / "rank0").write_text("4 0 1400\n")
    assert state.stall(made, now=1400 + 900) == ""
    assert "usually 100 s" in state.stall(made, now=1400 + 1100)
    os.close(lock)


def beating(made, *ranks):
    """What ranks said last, in the trainer's own writing: (step, begun, last said, batches, done, of, doing)."""
    for rank, (step, since, t, beats, done, of, doing) in enumerate(ranks):
        (made.ranks / f"rank{rank}").write_text(f"{step} 0 {t} {since} {beats} {done} {of} {doing:<60}\n")


def quick_steps(made, steps=20):
    """One in half a second, the last at 1000."""
    from trainer.events import Event, EventWriter

    with EventWriter(made.events) as writer:
        writer.write(Event("start", 900.0, 0))
        for step in range(1, steps + 1):
            writer.write(Event("step", 1000 - 0.5 * (steps - step), step))


@pytest.fixture
def made(run):
    attempt, lock = run.new_attempt(1)
    yield attempt
    os.close(lock)


def test_a_long_evaluation_says_how_far_it_is_and_is_no_stall(run, made):
    quick_steps(made)
    beating(made, (20, 1000, 1240, 24, 120, 341, "evaluating"), (20, 1000, 1239, 25, 125, 341, "evaluating"))
    assert state.status(run).state == State.RUNNING
    assert state.doing(made) == "evaluating 120/341"
    assert state.stall(made, now=1240 + 99) == "", "ten batches of 10 s are not over"


def test_a_hung_evaluation_is_told_in_its_batches(made):
    quick_steps(made)
    beating(made, (20, 1000, 1012, 24, 341, 341, "evaluating"), (20, 1000, 1006, 12, 120, 341, "evaluating"))
    assert state.stall(made, now=1012 + 50) == ""
    told = "evaluating 120/341: no batch for 6 min, usually 0.5 s; rank 1 is behind"
    assert state.stall(made, now=1012 + 365) == told


def test_a_long_check_of_the_saved_model_is_no_stall_and_a_hung_one_is(run, made):
    """Its measure is how long the start took, which loads the same; never less than five minutes."""
    quick_steps(made)
    beating(made, (20, 1000, 1010, 1, 0, 0, "checking the saved model"), (20, 1000, 1003, 9, 341, 341, "evaluating"))
    assert state.doing(made) == "checking the saved model"
    kit.write_json(made.path / "launch.json", {"t": 880.0})
    assert state.stall(made, now=1010 + 250) == ""
    assert state.stall(made, now=1010 + 365) == "checking the saved model: no sign of life for 6 min"
    kit.write_json(made.path / "launch.json", {"t": 700.0})
    assert state.stall(made, now=1010 + 365) == "", "the start took 200 s"


def test_before_the_first_step_nothing_is_usual(made):
    quick_steps(made, steps=0)
    beating(made, (0, 910, 910, 0, 0, 0, ""))
    assert state.stall(made, now=910 + 250) == ""
    assert state.stall(made, now=910 + 365) == "no step for 6 min"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        *((1.34, "1.3 s"), (9.96, "10 s"), (45, "45 s"), (119, "119 s"), (360, "6 min"), (7500, "2 h 05")),
        *((24 * 3600 - 1, "23 h 59"), (76 * 3600, "3 d 4 h"), (8854 * 3600 + 2220, "368 d 22 h")),
    ],
)
def test_durations_in_words(seconds, words):
    assert text.span(seconds, tenths=True) == words


def test_a_later_verification_counts_before_the_closing_check(run):
    assert run.verified() is None
    made = attempt_of(run)
    reason = "the epoch is done; not verified: a fresh process had not scored after 900 s"
    kit.write_json(made.path / "result.json", {"outcome": "finished", "reason": reason, "verified": False})
    kit.write_json(made.path / "exit.json", {"outcome": "finished", "reason": reason})
    assert run.verified() is False
    assert (state.status(run).state, state.status(run).reason) == (State.FINISHED, reason)
    kit.write_json(run.path / "verification.json", {"verified": True})
    assert run.verified() is True
    assert state.status(run).reason == "the epoch is done"
