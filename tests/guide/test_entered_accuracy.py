"""val_acc that a person enters for a run whose log has none: how it is read, kept and marked, and what follows."""

from __future__ import annotations

import csv
import json
import tomllib

import pytest
from support import index_content, make_run_folder, training

from rmtui.app.jobs.curves import Shown, Wanted, load_curves
from rmtui.app.widgets.chart.curve import View
from rmtui.cli import main
from rmtui.index.index import Index
from rmtui.operations.enter_accuracy import read_accuracy
from rmtui.operations.runs import init
from trainer.intervals import wilson


@pytest.fixture
def guides(tmp_path):
    """A workspace with the guide's two runs; val_acc of `after` is not known."""
    return init(tmp_path / "ws")


def rmtui(ws, capsys, *words):
    code = main(["-C", str(ws.root), *words])
    said = capsys.readouterr()
    return code, said.out + said.err


def shown(ws, capsys, run="after"):
    return json.loads(rmtui(ws, capsys, "show", run, "--json")[1])


@pytest.mark.parametrize(
    ("text", "share", "pairs"),
    [
        ("71.2%", 0.712, None),
        ("71.2 %", 0.712, None),
        ("71.2", 0.712, None),
        ("0.712", 0.712, None),
        (".5", 0.5, None),
        ("1", 1.0, None),
        ("1 %", 0.01, None),
        ("0.5%", 0.005, None),
        ("100", 1.0, None),
        ("0", 0.0, None),
        ("71.2％ of 2,354 pairs", 0.712, 2354),
        ("1676/2354", 1676 / 2354, 2354),
    ],
)
def test_a_share_or_per_cent_with_the_sign_or_above_one(text, share, pairs):
    assert read_accuracy(text) == (pytest.approx(share), pairs)


@pytest.mark.parametrize(
    "text", ["", "high", "-3", "101", "100.5%", "71.2 points", "nan", "1e999", "5/3", "1/0", "71,2", "70 of 0"]
)
def test_what_is_no_accuracy_is_refused(guides, capsys, text):
    assert read_accuracy(text) is None
    if text:
        code, said = rmtui(guides, capsys, "set", "after", f"val_acc={text}")
        assert code == 2 and "is not a val_acc" in said and "71.2%" in said
    assert shown(guides, capsys)["best"]["val_acc"] is None


def test_it_is_kept_as_entered_by_hand_and_shown_with_its_mark_and_interval(guides, capsys):
    code, said = rmtui(guides, capsys, "set", "after", "val_acc=71.2%", "--epoch", "2", "--pairs", "2354")
    half = 100 * wilson(0.712 * 2354, 2354).half
    assert code == 0 and f"71.2 % ±{half:.1f} (95 %, 2,354 pairs), entered by hand" in said
    document = shown(guides, capsys)
    best = document["best"]
    assert (best["epoch"], best["val_acc"], best["val_loss"]) == (2, 0.712, 0.605)
    assert document["epochs"][-1]["entered"] == "by hand" and document["epochs"][-1]["val_pairs"] == 2354
    meta = next(guides.runs.glob(f"{document['id']}/meta.toml")).read_text()
    (row,) = tomllib.loads(meta)["entered"]
    assert (row["epoch"], row["val_acc"], row["val_pairs"]) == (2, 0.712, 2354) and row["by"] and row["t"]
    for words in (["ls"], ["show", "after"]):
        assert "71.2%✎" in rmtui(guides, capsys, *words)[1]
    assert "entered by hand" in rmtui(guides, capsys, "advise", "after", "--lang", "en")[1]
    assert f"±{half:.1f}" in rmtui(guides, capsys, "advise", "after", "--lang", "en")[1]
    assert "手动录入" in rmtui(guides, capsys, "advise", "after", "--lang", "zh")[1]
    assert "at epoch 2 was not measured here, entered by hand" in rmtui(guides, capsys, "compare", "before", "after")[1]
    assert "(by hand)" in rmtui(guides, capsys, "export", "after", "--format", "markdown")[1]


@pytest.mark.parametrize(("value", "rose", "first"), [("71.2%", "yes", "preset_a"), ("66%", "no", "rate_back")])
def test_the_path_goes_on_from_it(guides, capsys, value, rose, first):
    before = json.loads(rmtui(guides, capsys, "advise", "after", "--json")[1])
    assert (before["advice"][0]["id"], before["advice"][0]["action"]) == ("confirm_val_acc", "evaluate")
    rmtui(guides, capsys, "set", "after", f"val_acc={value}")
    document = json.loads(rmtui(guides, capsys, "advise", "after", "--json")[1])
    steps = {step["id"]: step for step in document["path"]}
    assert (steps["confirm_val_acc"]["state"], steps["confirm_val_acc"]["outcome"]) == ("done", rose)
    assert document["advice"][0]["id"] == first


def test_it_can_be_changed_and_taken_away(guides, capsys):
    rmtui(guides, capsys, "set", "after", "val_acc=0.9")
    rmtui(guides, capsys, "set", "after", "val_acc=0.72")
    assert shown(guides, capsys)["epochs"][-1]["val_acc"] == 0.72
    rmtui(guides, capsys, "set", "after", "val_acc=")
    assert shown(guides, capsys)["epochs"][-1]["val_acc"] is None


def test_what_was_measured_is_not_replaced(ws, capsys):
    make_run_folder(ws, "one")
    code, said = rmtui(ws, capsys, "set", "one", "val_acc=0.99")
    assert code == 2 and "it was measured: 74.0 %" in said


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["val_loss=0.5"], "only val_acc"),
        (["val_acc"], "only val_acc"),
        (["val_acc=0.7", "--epoch", "9"], "has no epoch 9"),
        (["val_acc=0.7", "--epoch", "0"], "counts from 1"),
        (["val_acc=0.7", "--pairs", "-3"], "counts from 1"),
    ],
)
def test_other_mistakes_are_named(guides, capsys, words, what):
    code, said = rmtui(guides, capsys, "set", "after", *words)
    assert code == 2 and what in said


def test_it_is_read_from_a_log_of_the_run(guides, capsys, tmp_path):
    log = tmp_path / "again.log"
    log.write_text("Epoch 1: val_loss=0.59, val_acc=68.3%\nEpoch 2: val_loss=0.61, val_acc=71.07%\n")
    code, said = rmtui(guides, capsys, "set", "after", f"val_acc={log}")
    assert code == 0 and f"read from {log}" in said
    row = shown(guides, capsys)["epochs"][-1]
    assert row["val_acc"] == pytest.approx(0.7107) and row["entered"] == str(log)


def test_the_log_of_another_training_is_refused(guides, capsys, tmp_path):
    log = tmp_path / "other.log"
    log.write_text("Epoch 1: val_loss=0.69, val_acc=58.3%\nEpoch 2: val_loss=0.68, val_acc=60%\n")
    code, said = rmtui(guides, capsys, "set", "after", f"val_acc={log}")
    assert code == 2 and "is the log of another training" in said
    log.write_text("Epoch 1: train_loss=0.87, val_loss=0.59, val_acc=68.3%\n")
    code, said = rmtui(guides, capsys, "set", "after", f"val_acc={log}")
    assert code == 2 and "no val_acc for epoch 2" in said


def test_the_index_made_anew_has_it_too(guides, capsys):
    rmtui(guides, capsys, "set", "after", "val_acc=71.2%", "--pairs", "2354")
    before = index_content(guides)
    assert main(["-C", str(guides.root), "rebuild"]) == 0
    assert index_content(guides) == before
    with Index.open_reading(guides) as index:
        index.sync()
        assert [run.name for run in index.runs("val_acc>0.7")] == ["after"]


@pytest.mark.parametrize(
    "entered",
    ['"x"', "[1]", '[{epoch = "2", val_acc = 0.7}]', "[{epoch = 2, val_acc = 7}]", "[{epoch = 3, val_acc = nan}]"],
)
def test_a_damaged_note_is_not_a_val_acc(ws, capsys, entered):
    folder = make_run_folder(ws, "one", events=[event for event in training(1) if event.kind == "step"])
    (folder.path / "meta.toml").write_text(f"entered = {entered}\n")
    document = json.loads(rmtui(ws, capsys, "show", "one", "--json")[1])
    assert document["best"] is None and document["epochs"] == []


def test_what_was_entered_is_in_chart_csv_and_tensorboard_under_a_name_of_its_own(guides, capsys, tmp_path):
    rmtui(guides, capsys, "set", "after", "val_acc=71.2%")
    _, table = rmtui(guides, capsys, "export", "before", "after", "--format", "csv")
    rows = {row["run"]: row for row in csv.DictReader(table.splitlines())}
    run_id = shown(guides, capsys)["id"]
    assert rows.pop(run_id)["val_acc_entered"] == "0.712"
    assert [row["val_acc_entered"] for row in rows.values()] == [""]  # of `before` it was measured
    with Index.open(guides) as index:
        loaded = load_curves(index, Wanted((Shown(run_id, "after", 0),), View(), 80))
    (curve,) = loaded.accuracies
    assert (curve.label, list(curve.last)) == ("val_acc entered", [0.712])
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    rmtui(guides, capsys, "export", "after", "--format", "tensorboard", "-o", str(tmp_path / "tb"))
    found = reader.EventAccumulator(str(tmp_path / "tb" / run_id)).Reload()
    assert "val_acc" not in found.Tags()["scalars"]
    assert [round(point.value, 6) for point in found.Scalars("val_acc_entered")] == [0.712]
