"""`rmtui advise` on run folders: documents, silences, languages, expectations and forecasts kept."""

from __future__ import annotations

import json
import re
import tomllib

import pytest
from support import START, config, make_run_folder, training

from rmtui import i18n
from rmtui.cli import main
from rmtui.operations import advise as operation
from rmtui.operations import load_subjects as subjects
from rmtui.operations import mute


def advise(ws, capsys, *args):
    assert main(["-C", str(ws.root), "advise", *args, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_document_has_its_readings_advice_path_and_expectations(ws, capsys):
    make_run_folder(ws, "first", events=training(1, accuracy=(0.66,)), config=config(num_epochs=1), preset="B")
    make_run_folder(ws, "second", created=START + 100)
    document = advise(ws, capsys, "second", "--lang", "en")
    assert document["before"]["name"] == "first"
    for row in document["readings"]:
        assert {"id", "severity", "text", "figures"} <= row.keys()
    said = {row["id"] for row in document["readings"]}
    for row in document["advice"]:
        assert {"id", "text", "why", "changes", "expected", "because", "action", "own", "difference"} <= row.keys()
        assert set(row["because"]) <= said  # who disagrees can see why it was said
        assert {change["key"]: change["to"] for change in row["difference"]} == row["changes"]
    assert document["path"][0]["id"] == "read_losses"
    assert document["expectations"]["absolute"] is False
    places = {(row["epoch"], row["metric"]): row["place"] for row in document["expectations"]["epochs"]}
    assert places[3, "val_acc"] == "in"  # 68.4 → 73.9: +5.5 points, expected +5 … +8
    assert places[2, "train_loss"] == "above"


def test_changes_fit_the_form(ws, capsys):
    from trainer.config import check

    make_run_folder(ws, "one", events=training(1, accuracy=(0.66,)), config=config(num_epochs=1), preset="B")
    for row in advise(ws, capsys, "one")["advice"]:
        assert check(row["changes"]) == []


def test_silence_for_a_run_always_and_taken_back(ws, capsys):
    folder = make_run_folder(ws, "one")
    make_run_folder(ws, "two", created=START + 100)
    first = advise(ws, capsys, "one")["advice"][0]["id"]
    document = advise(ws, capsys, "one", "--silence", first)
    assert first not in {row["id"] for row in document["advice"]}
    assert document["silenced"][0]["id"] == first and document["silenced"][0]["t"] > START
    record = tomllib.loads((folder.path / "meta.toml").read_text())["silenced"]
    assert [row["id"] for row in record] == [first]
    assert first in {row["id"] for row in advise(ws, capsys, "two")["advice"]}
    advise(ws, capsys, "one", "--unsilence", first)
    assert advise(ws, capsys, "one")["advice"][0]["id"] == first
    advise(ws, capsys, "one", "--silence", first, "--always")
    assert first not in {row["id"] for row in advise(ws, capsys, "two")["advice"]}
    assert mute.silenced(ws, folder.id)[0]["scope"] == "always"


def test_a_silenced_reading_is_not_said(ws, capsys):
    make_run_folder(ws, "one")
    assert "train_loss_fell" in {row["id"] for row in advise(ws, capsys, "one")["readings"]}
    document = advise(ws, capsys, "one", "--silence", "train_loss_fell")
    assert "train_loss_fell" not in {row["id"] for row in document["readings"]}


def test_silencing_keeps_what_a_person_set(ws):
    folder = make_run_folder(ws, "one", meta={"note": "mine", "silenced": ["keep"]})
    mute.silence(ws, "one", "more_epochs")
    assert folder.meta()["note"] == "mine"
    assert {row["id"] for row in mute.silenced(ws, folder.id)} == {"keep", "more_epochs"}


def test_what_is_silenced_is_told_with_scope_day_and_person(ws, capsys):
    make_run_folder(ws, "one")
    mute.silence(ws, "one", "train_loss_fell")
    mute.silence(ws, "one", "more_epochs", always=True)
    titles = {"en": ("train_loss fell", "more epochs"), "zh": ("train_loss 下降", "更多轮数")}
    for lang, scopes in (("en", ("this run", "every run")), ("zh", ("本次运行", "所有运行"))):
        assert main(["-C", str(ws.root), "advise", "one", "--all", "--lang", lang]) == 0
        page = capsys.readouterr().out
        left, right = (r" \(", r"\)") if lang == "en" else ("（", "）")
        for name, title, scope in zip(("train_loss_fell", "more_epochs"), titles[lang], scopes, strict=True):
            assert re.search(rf"{title}{left}{scope}[,，] ?20\d\d-\d\d-\d\d[,，] ?\w+{right} \[{name}\]", page), page


@pytest.mark.parametrize(
    ("args", "word"), [(["--silence", "more_epoch"], "more_epochs"), (["--unsilence", "cosine"], "not silenced")]
)
def test_what_was_never_said_cannot_be_silenced(ws, capsys, args, word):
    make_run_folder(ws, "one")
    assert main(["-C", str(ws.root), "advise", "one", *args]) == 2
    assert word in capsys.readouterr().err


def test_in_chinese_every_sentence_is_chinese(ws, capsys):
    make_run_folder(ws, "one", events=training(1, accuracy=(0.66,)), config=config(num_epochs=1), preset="B")
    english = advise(ws, capsys, "one", "--lang", "en")
    chinese = advise(ws, capsys, "one", "--lang", "zh")
    assert [row["id"] for row in english["readings"]] == [row["id"] for row in chinese["readings"]]
    for row in [*chinese["readings"], *chinese["advice"], *chinese["path"]]:
        assert any("\u4e00" <= char <= "\u9fff" for char in row["text"]), row["text"]


def test_the_workspaces_language_counts_unless_another_is_asked_for(ws, capsys):
    make_run_folder(ws, "one")
    (ws.root / "workspace.toml").write_text('lang = "zh"\n')
    assert main(["-C", str(ws.root), "advise", "one", "--all"]) == 0
    assert i18n.translate("heading.readings", "zh") in capsys.readouterr().out
    assert main(["-C", str(ws.root), "advise", "one", "--all", "--lang", "en"]) == 0
    assert i18n.translate("heading.readings", "en") in capsys.readouterr().out


def test_thresholds_of_the_workspace_count(ws, capsys):
    make_run_folder(ws, "one")  # train_loss 0.55, val_loss 0.56
    assert "gap_warning" not in {row["id"] for row in advise(ws, capsys, "one")["readings"]}
    (ws.root / "thresholds.toml").write_text("gap_warning = 0.005\n")
    assert "gap_warning" in {row["id"] for row in advise(ws, capsys, "one")["readings"]}


def test_a_running_run_is_forecast_from_three_like_it_and_held_to_it(ws, capsys):
    for number in range(3):
        accuracy = (0.66, 0.70, 0.72 + 0.01 * number)
        make_run_folder(
            ws, f"past{number}", events=training(accuracy=accuracy, start=START + number), created=START + number
        )
    events = training(accuracy=(0.66, 0.70, 0.73), start=START + 50)
    running = make_run_folder(
        ws, "now", events=[event for event in events if event.epoch <= 2], outcome=None, created=START + 50
    )
    found = {row["metric"]: row for row in advise(ws, capsys, "now", "--lang", "en")["forecasts"]}
    assert found["val_acc"]["value"] == pytest.approx(0.73) and found["val_acc"]["forecast"] is True
    assert (running.path / "forecasts.jsonl").is_file()


def test_how_well_forecasts_were_is_shown(ws, capsys):
    from rmtui.guide.forecast import Forecast
    from rmtui.operations import forecasts

    folder = make_run_folder(ws, "one")  # val_acc 0.685, 0.71, 0.74
    said = [
        Forecast("val_acc", 1.0, 2.0, 0.70, 0.68, 0.72, "runs", 3),
        Forecast("val_acc", 1.0, 3.0, 0.70, 0.68, 0.72, "runs", 3),
    ]
    forecasts.keep(folder.path, said)
    record = advise(ws, capsys, "one", "--lang", "en")["forecast_record"]
    assert (record["count"], record["hits"]) == (2, 1)
    assert "1 of 2" in record["text"]


def test_against_another_run_than_the_one_before(ws, capsys):
    for number, name in enumerate(("a", "b", "c")):
        make_run_folder(ws, name, created=START + number * 100)
    assert advise(ws, capsys, "c")["before"]["name"] == "b"
    assert advise(ws, capsys, "c", "--against", "a")["before"]["name"] == "a"


def test_the_run_before_is_one_on_the_same_validation_pairs(ws, capsys):
    make_run_folder(ws, "a", created=START)
    make_run_folder(ws, "b", created=START + 100, fingerprints={"val": "dd" * 32})
    make_run_folder(ws, "c", created=START + 200)
    assert advise(ws, capsys, "c")["before"]["name"] == "a"


def test_runs_whose_data_is_not_known_are_not_held_against_each_other(ws, capsys):
    make_run_folder(ws, "one", data="")
    make_run_folder(ws, "two", created=START + 100, data="")
    assert advise(ws, capsys, "two")["before"] is None


def test_an_outcome_follows_its_question(ws, capsys):
    make_run_folder(ws, "one")
    for lang, wrong in (("en", "?:"), ("zh", "？:")):
        assert main(["-C", str(ws.root), "advise", "one", "--all", "--lang", lang]) == 0
        assert wrong not in capsys.readouterr().out


def test_nan_in_the_steps_is_seen(ws, capsys):
    import math

    events = training(loss=lambda step: math.nan if step >= 30 else 0.6)
    make_run_folder(ws, "one", events=events)
    row = next(row for row in advise(ws, capsys, "one")["readings"] if row["id"] == "non_finite")
    assert row["figures"]["step"] == 30 and row["severity"] == "error"


def test_advise_is_what_the_app_calls(ws):
    make_run_folder(ws, "one")
    assert operation.advise(ws, "one", "zh")["run"]["name"] == "one"


def test_a_run_at_its_first_epoch_is_not_held_against_the_last_of_another(ws, capsys):
    make_run_folder(ws, "done", events=training(start=START))
    begun = [event for event in training(start=START + 50) if event.epoch <= 1]
    make_run_folder(ws, "now", events=begun, outcome=None, created=START + 50)
    readings = advise(ws, capsys, "now", "--lang", "en")["readings"]
    assert not {"train_loss_rose", "val_loss_rose", "val_acc_fell"} & {row["id"] for row in readings}
    assert any("against done at epoch 1" in row["text"] for row in readings)


def test_the_path_tells_what_was_read_and_tried(ws, capsys):
    make_run_folder(ws, "one")
    steps = {row["id"]: row["outcome_text"] for row in advise(ws, capsys, "one", "--lang", "en")["path"]}
    assert steps["read_losses"] == "train_loss 0.8500 → 0.5500, val_loss 0.6000 → 0.5600"
    assert steps["try_a"] == "tried"


@pytest.mark.parametrize(("mended", "outcome"), [(3, "yes, but within chance"), (30, "yes")])
def test_a_rise_within_chance_is_told_as_such_everywhere(ws, capsys, mended, outcome):
    folder = make_run_folder(ws, "one")
    (folder.path / "validation").mkdir()
    for epoch, right in ((1, 200), (3, 200 + mended)):
        lines = [{"id": f"p{n}", "chosen": float(n < right), "rejected": 0.5} for n in range(341)]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder.path / "validation" / f"epoch-{epoch}.jsonl").write_text(text)
    document = advise(ws, capsys, "one", "--lang", "en")
    path = {row["id"]: row for row in document["path"]}
    assert (path["confirm_val_acc"]["outcome"], path["confirm_val_acc"]["outcome_text"]) == ("yes", outcome)
    good = {row["id"] for row in document["readings"] if row["severity"] == "good" and "val_acc" in row["id"]}
    assert bool(good) is (mended == 30)


@pytest.mark.parametrize(("mark", "tested"), [("bb", True), ("dd", False)])
def test_pairs_of_another_validation_set_are_no_test(ws, capsys, mark, tested):
    for name, right, marks in (("old", 200, mark), ("new", 203, "bb")):
        folder = make_run_folder(
            ws,
            name,
            events=training(accuracy=(0.60, 0.62, right / 341)),
            fingerprints={"train": "aa" * 32, "val": marks * 32},
            created=START + (name == "new"),
        )
        (folder.path / "validation").mkdir()
        lines = [{"id": f"p{n}", "chosen": float(n < right), "rejected": 0.5} for n in range(341)]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder.path / "validation" / "epoch-3.jsonl").write_text(text)
    found = advise(ws, capsys, "new", "--against", "old")["readings"]
    assert any(row["id"] == "val_acc_unproven" and row["figures"]["scope"] == "runs" for row in found) is tested


def test_an_advised_rate_is_spelled_as_the_run_is(ws, capsys):
    make_run_folder(ws, "one", config=config(learning_rate=1e-4), preset="C")
    assert main(["-C", str(ws.root), "advise", "one", "--all", "--lang", "en"]) == 0
    said = capsys.readouterr().out
    assert "learning_rate: 1e-4 → 1.5e-4" in said and "learning_rate 1.5e-4" in said and "0.0001" not in said


def test_an_older_run_than_the_guide_looks_back_on_is_held_against_the_one_before_it(ws, capsys, monkeypatch):
    monkeypatch.setattr(subjects, "FAMILY", 2)
    for number in range(6):
        make_run_folder(ws, f"n{number}", created=START + number * 100)
    assert advise(ws, capsys, "n5")["before"]["name"] == "n4"
    assert advise(ws, capsys, "n2")["before"]["name"] == "n1"
    assert advise(ws, capsys, "n0")["before"] is None


def test_a_run_that_names_a_time_beyond_the_calendar_has_readings_too(ws, capsys, monkeypatch):
    monkeypatch.setattr(subjects, "FAMILY", 1)
    folder = make_run_folder(ws, "odd", created=2.0**49)
    folder.set_meta(archived=True)
    make_run_folder(ws, "later", created=START)
    assert advise(ws, capsys, "odd")["readings"]
