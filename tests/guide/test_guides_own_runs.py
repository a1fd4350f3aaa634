"""The two runs the guide starts from give the guide's own conclusions, figure by figure."""

from __future__ import annotations

import json

import pytest
from guide_cases import of_guide, said

from rmtui.cli import main
from rmtui.guide import advice, path, published_figures, sentences
from rmtui.guide.model import changes
from rmtui.guide.readings import read
from rmtui.index.add_imported import add_imported
from rmtui.runs.model import Epoch

BEFORE = of_guide(published_figures.BEFORE, "baseline-1", created=1.0)
AFTER = of_guide(published_figures.AFTER, "baseline-2", created=2.0)


@pytest.fixture
def workspace(ws):
    for number, (name, known) in enumerate(
        (("baseline-1", published_figures.BEFORE), ("baseline-2", published_figures.AFTER))
    ):
        add_imported(
            ws,
            {"name": name, "data": "helpful", "config": known.config},
            [Epoch(known.epochs, known.train_loss, known.val_loss, known.val_acc)],
            {},
            {"source": "the guide", "digest": name, "created": 1e9 + number},
        )
    return ws


def test_the_figures_are_the_guides():
    assert (BEFORE.last("train_loss"), BEFORE.last("val_loss"), BEFORE.last("val_acc")) == (0.8755, 0.5928, 0.6845)
    assert (AFTER.last("train_loss"), AFTER.last("val_loss"), AFTER.last("val_acc")) == (0.6728, 0.6050, None)
    moved = changes(BEFORE, AFTER)
    assert moved["train_loss"].share == pytest.approx(-0.23, abs=0.005) and moved["train_loss"].better is True
    assert moved["val_loss"].share == pytest.approx(0.02, abs=0.005) and moved["val_loss"].better is False
    assert "val_acc" not in moved


def test_nothing_that_the_guide_does_not_give_was_invented():
    assert set(published_figures.BEFORE.config) == {"num_epochs", "learning_rate", "lora"}
    assert published_figures.BEFORE.config["lora"] == {"r": 16}
    assert "alpha" not in published_figures.AFTER.config["lora"] and "batch_size" not in published_figures.AFTER.config


@pytest.mark.parametrize(
    ("statement", "id", "words"),
    [
        (1, "train_loss_fell", ["0.8755 → 0.6728", "−23 %", "learning", "more epochs and more capacity"]),
        (
            2,
            "val_loss_rose_little",
            ["0.5928 → 0.6050", "+2 %", "not converged", "too few epochs", "noisy", "schedule"],
        ),
        (3, "train_above_val", ["0.6728", "0.6050", "rare", "not over-fitting", "under-trained"]),
        (4, "no_overfitting", ["Not over-fitting"]),
        (5, "gap_small", ["−0.0678", "no warning"]),
        (6, "val_acc_unknown", ["not known", "68.5 %", "confirm", "key V", "rmtui score"]),
        (7, "watch_unknown", ["train_loss falls every epoch", "val_loss starts to fall", "val_acc climbs"]),
    ],
)
def test_all_seven_readings_of_after_against_before(statement, id, words):
    reading = said(AFTER, BEFORE)[id]
    assert reading.statement == statement
    text = sentences.text(reading)
    assert [word for word in words if word not in text] == []


def test_they_are_no_overfitting_and_no_warning_but_the_unknown_val_acc():
    found = said(AFTER, BEFORE)
    assert {key for key, reading in found.items() if reading.severity in ("warning", "error")} == {"val_acc_unknown"}


def test_the_guides_own_first_run_informs_of_its_gap_and_does_not_warn():
    reading = said(BEFORE)["gap_train_above"]
    assert reading.severity == "info" and reading.figures["gap"] == pytest.approx(-0.2827)


def test_confirming_val_acc_comes_first_then_a_then_the_guides_advice_with_its_figures():
    found = advice.advise(path.locate(AFTER, [BEFORE, AFTER], BEFORE), read(AFTER, BEFORE))
    by_id = {item.id: item for item in found}
    assert [item.id for item in found][:4] == ["confirm_val_acc", "preset_a", "more_epochs", "higher_rate"]
    assert by_id["confirm_val_acc"].action == "evaluate"
    assert by_id["preset_a"].changes == {"num_epochs": 3, "learning_rate": 1.5e-5}
    assert by_id["preset_a"].expected == {"train_loss": [0.55, 0.60], "val_loss": [0.55, 0.58], "val_acc": [0.73, 0.76]}
    assert by_id["more_epochs"].expected == {"train_loss": [0.55, 0.60], "val_loss": [0.55, 0.58]}
    assert by_id["higher_rate"].changes == {"learning_rate": 1.5e-5}
    assert by_id["higher_rate"].expected == {"val_loss": [0.55, 0.58]}
    assert by_id["overfitting_unlikely"].changes == {"lora.dropout": 0.2}
    assert {"cosine", "check_data"} <= by_id.keys() and not any(item.own for item in found)


def test_the_path_stands_at_confirming_val_acc():
    steps = path.steps(path.locate(AFTER, [BEFORE, AFTER], BEFORE))
    assert [(step.id, step.state) for step in steps if step.state == "here"] == [("confirm_val_acc", "here")]
    assert next(step for step in steps if step.id == "look_overfitting").outcome == "no"


def test_from_a_workspace_the_verbs_say_the_same(workspace, capsys):
    assert main(["-C", str(workspace.root), "advise", "baseline-2", "--json", "--lang", "en"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["before"]["name"] == "baseline-1"
    assert {row["statement"] for row in document["readings"]} >= {1, 2, 3, 4, 5, 6, 7}
    assert document["advice"][0]["id"] == "confirm_val_acc"
    assert document["expectations"]["absolute"] is True
    assert {row["place"] for row in document["expectations"]["epochs"]} == {"in"}
    assert main(["-C", str(workspace.root), "compare", "baseline-1", "baseline-2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["config"]["differs"]["lora.r"] == [16, 32]
    assert document["summary"]["train_loss"]["change"][1]["percent"] == pytest.approx(-0.2315, abs=1e-4)
    assert document["summary"]["val_acc"]["last"] == [0.6845, None]
    assert document["summary"]["val_acc"]["change"][1] is None
    assert document["paired"][0]["verdict"] is None


def test_the_workspace_that_init_makes_brings_them_along(tmp_path, capsys):
    folder = str(tmp_path / "rm")
    assert main(["init", folder, "--guide"]) == 0
    capsys.readouterr()
    assert main(["-C", folder, "ls", "--json"]) == 0
    names = [run["name"] for run in sorted(json.loads(capsys.readouterr().out), key=lambda run: run["created"])]
    assert len(names) == 2
    assert main(["-C", folder, "advise", names[1], "--json", "--lang", "en"]) == 0
    document = json.loads(capsys.readouterr().out)
    by_statement = {row["statement"]: row["figures"] for row in document["readings"] if row["statement"]}
    assert set(by_statement) == {1, 2, 3, 4, 5, 6, 7}
    assert by_statement[1]["change"] == pytest.approx(-0.23, abs=0.005)
    assert by_statement[2]["change"] == pytest.approx(0.02, abs=0.005)
    assert by_statement[6]["before"] == 0.6845
    assert document["advice"][0]["id"] == "confirm_val_acc"
