"""What ticks a step of the path: runs that came to their end. What a run that was cut off says first: how to go on."""

from __future__ import annotations

import pytest
from guide_cases import subject
from support import make_run_folder, training

from rmtui import presets
from rmtui.cli import main
from rmtui.guide import advice, path
from rmtui.guide.readings import read
from rmtui.operations.advise import advise
from rmtui.runs.model import State

A = {"num_epochs": 3, "learning_rate": 1.5e-5, "batch_size": 4, "lora": {"r": 32, "alpha": 64, "dropout": 0.1}}
C = {**A, "batch_size": 6, "lora": {"r": 32, "alpha": 64, "dropout": 0.15}}
ROWS = [(0.87, 0.59, 0.68), (0.65, 0.58, 0.72), (0.56, 0.57, 0.74)]
NOW = subject([(0.7, 0.6, 0.68), (0.65, 0.6, 0.71)], name="now", config={"learning_rate": 1e-5, "num_epochs": 2})


def state_of(step, runs, item=NOW, **more):
    return {found.id: found.state for found in path.steps(path.locate(item, runs, None, **more))}[step]


def tried_a(config=A, rows=ROWS, **more):
    return state_of("try_a", [subject(rows, name="earlier", config=config, num_epochs=3, **more)]) == "done"


@pytest.mark.parametrize(
    "state", [State.KILLED, State.FAILED, State.INTERRUPTED, State.STOPPED, State.RUNNING, State.QUEUED, State.UNKNOWN]
)
def test_a_preset_is_tried_only_by_a_run_that_ended(state):
    assert tried_a(preset="A") and not tried_a(preset="A", state=state)


def test_a_log_that_breaks_off_before_its_last_epoch_has_tried_nothing():
    assert tried_a(state=State.IMPORTED) and not tried_a(rows=ROWS[:2], state=State.IMPORTED)


def test_a_last_epoch_without_evaluation_has_tried_nothing():
    assert not tried_a(rows=[*ROWS[:2], (0.56, None, None)])


@pytest.mark.parametrize(
    ("config", "preset", "tried"),
    [
        (C, "C", False),
        (C, None, False),
        (A, None, True),
        (A, "mine", True),
        (A, "B", False),
        ({**A, "learning_rate": 9e-6}, "A", False),
        ({**A, "num_epochs": 1}, "A", False),
        ({**A, "learning_rate": 2.5e-4}, "A", True),
        ({**A, "batch_size": 2}, "A", True),
    ],
)
def test_a_is_what_has_its_settings_and_c_is_not(config, preset, tried):
    assert tried_a(config, preset=preset) is tried


def test_the_workspaces_own_preset_a_counts_with_its_own_settings(ws):
    own = {"num_epochs": 2, "learning_rate": 8e-6}
    run = subject(ROWS[:2], name="earlier", config={**A, **own}, preset="A")
    assert state_of("try_a", [run]) != "done" and state_of("try_a", [run], own_a=own) == "done"
    assert presets.find(ws, "A").config["learning_rate"] == 1.5e-5


def test_bs_rate_with_three_epochs_is_tried_by_a_run_that_ended():
    config = {**A, "learning_rate": 2e-5}
    runs = {state: subject(ROWS, name="b", config=config, state=state) for state in (State.FINISHED, State.KILLED)}
    assert state_of("b_rate", [runs[State.FINISHED]]) == "done" and state_of("b_rate", [runs[State.KILLED]]) != "done"


@pytest.mark.parametrize(
    ("of_a", "rate", "state"),
    [(1.5e-5, 2.5e-4, False), (1.5e-5, 3e-5, False), (1.5e-4, 2e-4, True), (1.5e-4, 2e-5, True)],
)
def test_bs_rate_is_a_third_above_as_and_no_other_higher_one(of_a, rate, state):
    tried = subject(ROWS, name="a", config={**A, "learning_rate": of_a}, preset="A", created=1.0)
    item = subject(ROWS, name="b", config={**A, "learning_rate": rate}, created=2.0)
    assert (state_of("b_rate", [tried, item], own_a={"learning_rate": of_a}) == "done") is state


@pytest.mark.parametrize("state", [State.KILLED, State.FAILED, State.INTERRUPTED])
def test_a_run_that_was_cut_off_answers_nothing(state):
    item = subject(ROWS[:2], name="cut", config=A, preset="A", num_epochs=3, state=state)
    steps = path.steps(path.locate(item, [item], None))
    assert [step.state for step in steps] == ["here", *["ahead"] * 6]


@pytest.mark.parametrize("state", [State.KILLED, State.FAILED, State.INTERRUPTED, State.STOPPED])
@pytest.mark.parametrize("rows", [ROWS[:2], []])
def test_the_first_advice_on_a_run_that_ended_before_its_time_is_to_go_on(state, rows):
    item = subject(rows, config=A, state=state, resumable=True, step=112, more={"checkpoint": 62})
    found = advice.recommend(path.locate(item, [item], None), read(item, None), [item])
    assert found[0].id == "go_on" and found[0].action == "resume"
    assert len(found) == 1 or state is State.STOPPED


def test_a_broken_training_is_not_resumed():
    rows = [(0.6, 0.6, 0.7), (float("nan"), float("nan"), None)]
    item = subject(rows, config=A, state=State.FAILED, resumable=True, step=112, more={"checkpoint": 62})
    found = advice.recommend(path.locate(item, [item], None), read(item, None), [item])
    assert [entry.id for entry in found] == ["lower_rate"]


@pytest.mark.parametrize(
    ("checkpoint", "english", "chinese"),
    [
        (40, "killed at step 60 · checkpoint of step 40 · r resumes", "第 40 步的检查点"),
        (None, "killed at step 60 · no checkpoint · r starts it again", "没有检查点"),
    ],
)
def test_it_is_said_where_a_killed_run_goes_on(ws, capsys, checkpoint, english, chinese):
    folder = make_run_folder(ws, "cut", events=training(), outcome="killed", reason="out of memory")
    if checkpoint:
        place = folder.path / "checkpoints" / f"step-{checkpoint:06d}"
        place.mkdir(parents=True)
        (place / "manifest.json").write_text(
            f'{{"step": {checkpoint}, "epoch": 2.0, "reason": "epoch", "created": 1, "world_size": 1, "facts": {{}}}}'
        )
    assert advise(ws, "cut", "en")["advice"][0]["text"] == english
    assert chinese in advise(ws, "cut", "zh")["advice"][0]["text"]
    assert main(["-C", str(ws.root), "advise", "cut"]) == 0
    assert "r " in capsys.readouterr().out
