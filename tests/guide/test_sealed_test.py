"""Sealed test sets: one named finalist, each look counted and paid for, and nothing that chooses sees them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from support import START, config, make_run_folder, training

from rmtui.cli import main
from rmtui.errors import UserError
from rmtui.operations import model_folders, sealed_looks, sealed_test
from trainer.pairs import fingerprint

PAIRS = 200


def wilson(right, alpha):
    found = binomtest(int(right.sum()), PAIRS).proportion_ci(1 - alpha, "wilson")
    return [found.low, found.high]


def with_checkpoint(folder):
    (folder.path / "checkpoints" / "step-000060").mkdir(parents=True)
    (folder.path / "checkpoints" / "best").write_text(
        json.dumps({"checkpoint": "step-000060", "metric": "val_acc", "value": 0.7, "step": 60})
    )
    return folder


@pytest.fixture
def test_file(ws):
    path = ws.root / "data" / "test.jsonl"
    path.parent.mkdir(exist_ok=True)
    words = ["anchor", "bread", "copper", "desert", "engine", "forest", "garden", "harbour", "island", "jungle"]
    rows = [
        {"id": f"t{n}", "prompt": f"{words[n % 10]}{n} {words[n // 10 % 10]}{n * 7}", "chosen": "yes", "rejected": "no"}
        for n in range(PAIRS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def finalists(ws, test_file, monkeypatch):
    """Three runs with a checkpoint; run n gets the pairs of `right[n]` right. Their val_acc counts for nothing here."""
    rng = np.random.default_rng(5)
    right = [rng.random(PAIRS) < truth for truth in (0.85, 0.6, 0.8)]
    folders = [
        with_checkpoint(
            make_run_folder(ws, f"r{n}", training(), created=START + n, config=config(data={"test": str(test_file)}))
        )
        for n in range(3)
    ]
    scored = []

    def finished(name, folder, file, options, progress, cancelled):
        run = next((n for n, one in enumerate(folders) if one.id in str(folder)), 2)
        scored.append(run)
        rows = [{"id": f"t{n}", "chosen": float(one), "rejected": 0.5} for n, one in enumerate(right[run])]
        Path(options[options.index("--out") + 1]).write_text("".join(json.dumps(row) + "\n" for row in rows))

    monkeypatch.setattr(sealed_test, "finished_score", finished)
    return right, scored


def run(ws, capsys, *words, code=0):
    assert main(["-C", str(ws.root), *words, "--lang", "en"]) == code
    said = capsys.readouterr()
    return said.err if code else said.out


def look(ws, capsys, *words):
    return json.loads(run(ws, capsys, "test", *words, "--json"))


def test_a_look_gives_accuracy_and_the_difference_to_one_comparator(ws, capsys, finalists):
    right, _ = finalists
    found = look(ws, capsys, "r0", "--against", "r1")
    assert (found["look"], found["looks"], found["pairs"]) == (1, 1, PAIRS)
    assert found["finalist"]["accuracy"] == pytest.approx(right[0].mean())
    assert found["finalist"]["interval"] == pytest.approx(wilson(right[0], 0.05))
    gained, lost = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    assert (found["difference"]["gained"], found["difference"]["lost"]) == (gained, lost)
    assert found["difference"]["p"] == pytest.approx(binomtest(gained, gained + lost).pvalue)
    assert found["difference"]["verdict"] == "better" and found["difference"]["low"] > 0


def test_the_same_question_again_is_no_new_look(ws, capsys, finalists):
    first = look(ws, capsys, "r0", "--against", "r1")
    assert look(ws, capsys, "r0", "--against", "r1") == first
    assert finalists[1] == [0, 1]


def test_a_further_look_is_asked_for_numbered_and_widens_every_interval(ws, capsys, finalists):
    right, scored = finalists
    before = look(ws, capsys, "r0")
    assert "--again" in run(ws, capsys, "test", "r2", code=2)
    assert scored == [0]
    second = look(ws, capsys, "r2", "--against", "r1", "--again")
    assert (second["look"], second["looks"]) == (2, 2)
    assert second["finalist"]["interval"] == pytest.approx(wilson(right[2], 0.025))
    gained, lost = int((right[2] & ~right[1]).sum()), int((right[1] & ~right[2]).sum())
    assert second["difference"]["p"] == pytest.approx(min(1, 2 * binomtest(gained, gained + lost).pvalue))
    after = look(ws, capsys, "r0")
    assert (after["look"], after["looks"]) == (1, 2)
    assert after["finalist"]["interval"][0] < before["finalist"]["interval"][0]


def test_show_and_the_card_give_it(ws, capsys, finalists):
    look(ws, capsys, "r0")
    shown = run(ws, capsys, "show", "r0")
    assert "Sealed test set, first look: r0 gets" in shown
    folder = model_folders.model_folder(ws.root, "r0")
    assert "first look" in model_folders.sealed(ws.root, "r0", folder)
    assert model_folders.sealed(ws.root, "r0", folder.with_name("step-000040")) == ""
    assert model_folders.sealed(ws.root, "r1", folder) == ""
    assert "Sealed" not in run(ws, capsys, "show", "r1")


def test_score_does_not_look_in_passing(ws, capsys, finalists, test_file, monkeypatch):
    monkeypatch.setattr(model_folders, "trainer", lambda arguments: 0)
    assert run(ws, capsys, "score", "r1", str(test_file)) == ""
    look(ws, capsys, "r0")
    assert "rmtui test r1" in run(ws, capsys, "score", "r1", str(test_file), code=2)


def test_pairs_that_trained_or_chose_a_model_do_not_test_it(ws, capsys, finalists, test_file):
    with_checkpoint(
        make_run_folder(
            ws,
            "val",
            events=training(),
            created=START + 9,
            config=config(data={"val": str(test_file)}),
            fingerprints={"val": fingerprint(test_file)},
        )
    )
    assert "validation pairs" in run(ws, capsys, "test", "val", "--file", str(test_file), code=2)
    assert "validation pairs" in run(ws, capsys, "test", "r0", "--against", "val", code=2)
    assert "names no sealed test set" in run(ws, capsys, "test", "val", code=2)


def test_shared_questions_are_counted(ws, capsys, finalists, test_file):
    row = json.loads(test_file.read_text().splitlines()[3])
    train = ws.root / "data" / "train.jsonl"
    train.write_text(json.dumps({**row, "chosen": "other"}) + "\n")
    (ws.root / "data" / "val.jsonl").write_text(json.dumps({**row, "prompt": "elsewhere"}) + "\n")
    with_checkpoint(
        make_run_folder(
            ws,
            "leaky-r1",
            events=training(),
            created=START + 9,
            config=config(
                data={"train": str(train), "val": str(ws.root / "data" / "val.jsonl"), "test": str(test_file)}
            ),
        )
    )
    found = look(ws, capsys, "leaky-r1")
    assert found["shared"] == 1 and "1 of the 200 pairs open with a question" in found["text"]


def test_no_launch_trains_on_or_chooses_by_a_sealed_set(ws, capsys, finalists, test_file):
    look(ws, capsys, "r0")
    for marks in ({"train": fingerprint(test_file)}, {"extra_val": {"more": fingerprint(test_file)}}):
        with pytest.raises(UserError, match="sealed test set"):
            sealed_looks.refuse_spent(ws, marks)
    with pytest.raises(UserError, match="the val pairs"):
        sealed_looks.refuse_spent(ws, {"val": "ab" * 32, "test": "ab" * 32})
    sealed_looks.refuse_spent(ws, {"train": "aa" * 32, "val": "bb" * 32, "test": fingerprint(test_file)})


def test_a_plan_takes_eval_train_and_the_sealed_set_beside_its_data_unless_it_is_missing(ws, capsys, test_file):
    for part in ("train", "val", "test"):
        place = ws.root / "data" / "topics" / f"{part}.jsonl"
        place.parent.mkdir(exist_ok=True)
        place.write_text(test_file.read_text().replace("yes", f"yes, {part}"))
    command = ("launch", "A", "--model", str(ws.root), "--data", "topics", "--dry-run", "--json")

    def planned(*words):
        main(["-C", str(ws.root), *command, *words, "--lang", "en"])
        return json.loads(capsys.readouterr().out)

    assert planned()["config"]["data"]["test"].endswith("topics/test.jsonl")
    assert planned("--eval-train", "50")["config"]["eval_train"] == 50
    gone = planned("--set", "data.test=data/gone.jsonl")
    assert any("gone.jsonl does not exist" in str(problem) for problem in gone["problems"])
    same = planned("--set", "data.test=data/topics/val.jsonl")
    assert any("data.val is the same file" in str(problem) for problem in same["problems"])
