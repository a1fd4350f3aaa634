"""What more training pairs would bring: a run beside runs of its settings on fewer of its pairs."""

import json

import pytest
from guide.test_compare_verb import rewards, write
from scipy import stats
from support import START, config, make_run_folder, training

from rmtui.cli import main
from rmtui.operations import learning_curve
from rmtui.operations.plan import plan

TRAIN, VAL = "data/train/helpful_pairs.jsonl", "data/val/helpful_pairs.jsonl"
PAIRS = 341


@pytest.fixture
def data(ws):
    """400 training pairs."""
    for name, count in ((TRAIN, 400), (VAL, PAIRS)):
        rows = [
            {"id": f"p{i:04}", "prompt": f"Q{i}?", "chosen": f"yes {i}", "rejected": f"no {i}"} for i in range(count)
        ]
        (ws.root / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ws


def trained(ws, name, limit, right, swap=(), when=0, **more):
    """A run on `limit` of the pairs (0: all) that ranks `right` of the validation pairs right."""
    given = {"train": "", "source": [f"{ws.root / TRAIN};limit={limit}"]} if limit else {}
    accuracy = [len([pair for pair in rewards(right, swap).values() if pair[0] > pair[1]]) / PAIRS] * 3
    events = training(accuracy=accuracy, val_pairs=PAIRS, start=START + when)
    settings = config(**{"data": given, **more.pop("settings", {})})
    folder = make_run_folder(ws, name, events, created=START + when, config=settings, **more)
    for epoch in (1, 2, 3):
        write(folder, rewards(right, swap), f"epoch-{epoch}")
    return folder


def curve(ws, capsys, *args):
    assert main(["-C", str(ws.root), "learning-curve", *args]) == 0
    out = capsys.readouterr().out
    return json.loads(out) if "--json" in args else out


def test_each_step_is_tested_on_the_same_pairs_and_the_last_one_bounds_the_next_doubling(data, capsys):
    trained(data, "quarter", 100, 200)
    trained(data, "half", 200, 220, when=60)
    trained(data, "all", 0, 220, swap={*range(10), *range(220, 260)}, when=120)  # 40 gained, 10 lost
    found = curve(data, capsys, "all", "--json")
    assert [(size["name"], size["pairs"]) for size in found["sizes"]] == [("quarter", 100), ("half", 200), ("all", 400)]
    first, last = found["steps"]
    assert first["gain"] == pytest.approx(20 / PAIRS) and last["gain"] == pytest.approx(30 / PAIRS)
    assert last["p"] == pytest.approx(stats.binomtest(10, 50, 0.5).pvalue)
    assert last["verdict"] == "better" and found["missing"] == []
    low, high = last["interval"]
    assert 0 < low < 30 / PAIRS < high
    page = curve(data, capsys, "all")
    assert "From 200 to 400 training pairs val_acc rose by 8.8 points" in page
    assert f"hardly more than {100 * high:.1f} points" in page  # a doubling: the whole of the step's upper end
    trained(data, "tenth", 50, 220, when=180)
    assert [size["pairs"] for size in curve(data, capsys, "all", "--json")["sizes"]] == [50, 100, 200, 400]


def test_what_cannot_be_told_and_what_did_harm_is_said(data, capsys):
    trained(data, "half", 200, 220)
    trained(data, "all", 0, 220, swap={0, 1, 2, 230, 231}, when=60)
    page = curve(data, capsys, "all")
    assert f"{PAIRS} pairs cannot tell whether more training pairs help" in page
    trained(data, "worse", 0, 170, when=120)
    assert "fell by 14.7 points" in curve(data, capsys, "worse")


def test_only_finished_runs_of_the_same_settings_files_and_validation_pairs_count(data, capsys):
    other = data.root / "data" / "train" / "other_pairs.jsonl"
    other.write_text((data.root / TRAIN).read_text())
    trained(data, "all", 0, 220)
    trained(data, "faster", 200, 210, settings={"learning_rate": 1e-4})
    trained(data, "broken-off", 200, 210, outcome="killed")
    trained(data, "elsewhere", 200, 210, fingerprints={"train": "aa" * 32, "val": "cc" * 32})
    strange = make_run_folder(data, "strange", config=config(data={"train": "", "source": [f"{other};limit=200"]}))
    write(strange, rewards(200))
    found = curve(data, capsys, "all", "--json")
    assert [size["name"] for size in found["sizes"]] == ["all"] and found["missing"] == [100, 200]
    assert "learning-curve all --launch trains on 100, 200 of them" in curve(data, capsys, "all")


def test_of_one_size_the_run_with_the_same_seed_counts_then_the_newest(data, capsys):
    trained(data, "all", 0, 220)
    trained(data, "same-seed", 200, 210, when=10)
    trained(data, "other-seed", 200, 215, when=20, settings={"seed": 7})
    assert [size["name"] for size in curve(data, capsys, "all", "--json")["sizes"]] == ["same-seed", "all"]


def test_launch_asks_for_the_runs_own_settings_on_a_part_of_its_pairs(data, capsys):
    trained(data, "all", 0, 220, launch={"kind": "local", "processes": 2, "device": "cpu"})
    trained(data, "half", 200, 210, when=10)
    (request,) = learning_curve.requests(data, "all")
    made = plan(data, request, check_data=False).spec
    wanted = config()
    kept = {key: made["config"][key] for key in ("num_epochs", "learning_rate", "batch_size", "seed")}
    assert kept == {key: wanted[key] for key in kept} and made["config"]["lora"]["dropout"] == 0.1
    assert made["config"]["data"]["source"] == [f"{data.root / TRAIN};limit=100"]
    assert made["config"]["data"]["train"] == "" and made["config"]["data"]["val"] == str(data.root / VAL)
    assert made["launch"]["processes"] == 2 and made["launch"]["device"] == "cpu"
    trained(data, "quarter", 100, 205, when=20)
    assert main(["-C", str(data.root), "learning-curve", "all", "--launch"]) != 0
    assert "runs on fewer of its pairs are there" in capsys.readouterr().err


def test_the_pairs_that_a_trainer_noted_count_even_where_the_file_has_changed(data, capsys):
    for number, (name, count) in enumerate((("few", 150), ("all", 390))):
        folder = trained(data, name, 0 if name == "all" else 200, 210, when=number)
        events = folder.path / "attempt-1" / "events.jsonl"
        events.write_text(events.read_text().replace('"total_steps"', f'"train_pairs": {count}, "total_steps"', 1))
    (data.root / TRAIN).unlink()
    assert [size["pairs"] for size in curve(data, capsys, "all", "--json")["sizes"]] == [150, 390]


def test_a_file_that_is_gone_and_too_few_pairs_are_said(data, capsys):
    trained(data, "all", 0, 220)
    (data.root / TRAIN).rename(data.root / "elsewhere.jsonl")
    assert main(["-C", str(data.root), "learning-curve", "all"]) != 0
    assert "the training pairs of all cannot be counted" in capsys.readouterr().err
    lines = (data.root / "elsewhere.jsonl").read_text().splitlines()[:20]
    (data.root / TRAIN).write_text("\n".join(lines) + "\n")
    assert main(["-C", str(data.root), "learning-curve", "all", "--launch"]) != 0
    assert "20 pairs are too few" in capsys.readouterr().err
