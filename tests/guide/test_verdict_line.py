"""The first line of `advise` and of `compare`: the verdict with the next step, and who leads."""

from __future__ import annotations

from dataclasses import replace

import pytest
from guide_cases import of_guide, subject

from rmtui.cli import main
from rmtui.guide import advice, path, published_figures
from rmtui.guide.readings import read
from rmtui.guide.verdict_line import verdict
from rmtui.operations.runs import init
from rmtui.runs.model import State


def line(item, before=None, lang="en"):
    found = read(item, before)
    steps = advice.recommend(path.locate(item, [item], before), found, [item])
    return verdict(item, before, found, steps, lang)


def test_it_names_standing_course_metrics_and_the_next_step():
    rows = [(0.87, 0.5911, 0.6831), (0.6728, 0.6050, 0.7107)]
    item = subject(rows, val_pairs=2354, config={"num_epochs": 2, "learning_rate": 1e-5})
    said = line(item)
    assert said.startswith("Under-trained and improving: val_acc 68.3 → 71.1 % (±1.8), val_loss +2 %. Next: ")
    assert line(item, lang="zh").startswith("训练不足，仍在进步：val_acc 68.3 → 71.1%")


def test_an_unknown_val_acc_is_the_next_step():
    before = of_guide(published_figures.BEFORE, "before", created=1.0)
    after = of_guide(published_figures.AFTER, "after", created=2.0)
    said = line(after, before)
    assert said.startswith("Under-trained: val_loss +2 % against before. Next: confirm val_acc.")


def test_of_a_single_epoch_it_says_which_run_it_is_held_against_and_where():
    demo = subject([(0.58, 0.39, 0.875), (0.29, 0.23, 0.933)], name="demo", val_pairs=2000, created=1.0)
    one = subject([(0.72, 0.64, 0.647)], name="C-1", val_pairs=2000, created=2.0, state=State.STOPPED, num_epochs=3)
    said = line(one, demo)
    assert "worse than demo at epoch 1: val_acc 87.5 → 64.7 %" in said and "getting" not in said
    assert "不如 demo 的第 1 轮" in line(one, demo, "zh")
    better = subject([(0.5, 0.3, 0.95)], name="C-2", val_pairs=2000, created=2.0, config={"num_epochs": 1})
    assert "etter than demo: val_acc 93.3 → 95.0 %" in line(better, demo)


def test_advise_and_compare_begin_with_it(tmp_path, capsys):
    ws = init(tmp_path / "ws")
    main(["-C", str(ws.root), "set", "after", "val_acc=71.2%"])
    capsys.readouterr()
    assert main(["-C", str(ws.root), "advise", "after", "--lang", "en"]) == 0
    assert capsys.readouterr().out.startswith(
        "Under-trained and better than before: val_acc 68.5 → 71.2 % (entered by hand), val_loss +2 %."
    )
    assert main(["-C", str(ws.root), "compare", "before", "after", "--lang", "en"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first == (
        "after leads on val_acc by 2.7 points: 71.2 % (epoch 2) against 68.5 % of before:"
        " not tested pair by pair at these epochs."
    )


A = {"num_epochs": 3, "learning_rate": 1.5e-5, "method": "lora", "lora": {"r": 32, "alpha": 64, "dropout": 0.1}}
GOOD = [(0.87, 0.59, 0.68), (0.65, 0.58, 0.72), (0.56, 0.57, 0.75)]


def next_of(item, *others, lang="en"):
    runs = [*others, item]
    found = read(item, None)
    steps = advice.recommend(path.locate(item, runs, None), found, runs)
    return verdict(item, None, found, steps, lang), steps


@pytest.mark.parametrize("state", [State.RUNNING, State.STARTING, State.STOPPING, State.QUEUED])
@pytest.mark.parametrize("rows", [GOOD[:1], GOOD[:2], [(0.70, 0.693, 0.5)], [(0.6, 0.6, 0.7), (0.3, 0.7, 0.7)]])
def test_of_a_run_that_trains_nothing_is_said_of_the_time_after_it(state, rows):
    """Its next epochs decide that; and the advice to keep an earlier run is no advice about this one."""
    demo = subject(GOOD, name="demo", config=A, preset="A", created=1.0)
    running = subject(rows, name="demo-A-1", config=A, preset="A", created=2.0, state=state)
    line, steps = next_of(running, demo)
    assert not steps and "Next" not in line and "demo" not in line
    assert line  # how it stands is said all the same
    _, ended = next_of(replace(running, run=running.run._replace(state=State.FINISHED)), demo)
    assert ended


def test_of_a_run_that_broke_the_next_step_is_the_same_while_it_trains_and_after():
    rows = [(1.2, 2.1, 0.5), (4.0, 9.0, 0.5)]
    running = subject(rows, name="hot", config={**A, "learning_rate": 1e-2}, state=State.RUNNING)
    ended = replace(running, run=running.run._replace(state=State.FINISHED))
    first, last = (next_of(item)[1][0] for item in (running, ended))
    assert first.changes == last.changes and first.changes["learning_rate"] < 1e-2


def test_the_run_that_is_kept_is_named():
    item = subject(GOOD, name="A-1", config=A, preset="A")
    found = advice.advise(path.locate(item, [item], None), read(item, None))
    line = verdict(item, None, read(item, None), [step for step in found if step.id == "keep"])
    assert line.endswith("Next: keep the run of preset A (A-1).") and "this run" not in line


def test_who_is_told_to_keep_a_run_is_not_told_to_change_it():
    config = {"num_epochs": 3, "learning_rate": 1.5e-5, "lora": {"r": 32, "alpha": 64, "dropout": 0.1}}
    rows = [(0.87, 0.59, 0.68), (0.65, 0.58, 0.72), (0.56, 0.57, 0.75)]
    item = subject(rows, name="A-1", config=config, preset="A")
    found = advice.recommend(path.locate(item, [item], None), read(item, None), [], silenced={"rate_up"})
    assert "keep" in [entry.id for entry in found]
    assert not [entry for entry in found if entry.changes]
