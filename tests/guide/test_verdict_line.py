"""The first line of `advise` and of `compare`: the verdict with the next step, and who leads."""

from __future__ import annotations

from guide_cases import of_guide, subject

from rmtui.cli import main
from rmtui.guide import advice, path, published_figures
from rmtui.guide.readings import read
from rmtui.guide.verdict_line import verdict
from rmtui.operations.runs import init


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
    assert said.startswith("Under-trained: val_loss +2 %. Next: confirm val_acc.")


def test_advise_and_compare_begin_with_it(tmp_path, capsys):
    ws = init(tmp_path / "ws")
    main(["-C", str(ws.root), "set", "after", "val_acc=71.2%"])
    capsys.readouterr()
    assert main(["-C", str(ws.root), "advise", "after", "--lang", "en"]) == 0
    assert capsys.readouterr().out.startswith(
        "Under-trained and improving: val_acc 68.5 → 71.2 % (entered by hand), val_loss +2 %."
    )
    assert main(["-C", str(ws.root), "compare", "before", "after", "--lang", "en"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first == (
        "after leads on val_acc by 2.7 points: 71.2 % (epoch 2) against 68.5 % of before:"
        " not tested pair by pair at these epochs."
    )


def test_who_is_told_to_keep_a_run_is_not_told_to_change_it():
    config = {"num_epochs": 3, "learning_rate": 1.5e-5, "lora": {"r": 32, "alpha": 64, "dropout": 0.1}}
    rows = [(0.87, 0.59, 0.68), (0.65, 0.58, 0.72), (0.56, 0.57, 0.75)]
    item = subject(rows, name="A-1", config=config, preset="A")
    found = advice.recommend(path.locate(item, [item], None), read(item, None), [], silenced={"rate_up"})
    assert "keep" in [entry.id for entry in found]
    assert not [entry for entry in found if entry.changes]
