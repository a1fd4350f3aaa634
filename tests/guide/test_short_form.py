"""The short answer of `advise`: verdict first, at most twelve lines, no contradiction; the rest on asking."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from support import START, config, make_run_folder

from rmtui.cli import main
from rmtui.text import width
from trainer.events import Event

LORA = {"r": 16, "alpha": 32.0, "dropout": 0.1}
DIVERGED = (
    (0.03, [(4.6, 1.7, 0.557)]),
    (0.045, [(19.9, 26.0, 0.569), (23.6, 14.6, 0.540), (7.7, 3.8, 0.587)]),
    (0.22, [(1565.0, 3439.0, 0.528), (2187.0, 2257.0, 0.455), (787.0, 298.0, 0.563)]),
)
GROWING = (
    (2e-5, [(0.759, 0.751, 0.467)]),
    (1.5e-5, [(0.767, 0.743, 0.470), (0.691, 0.685, 0.553), (0.651, 0.665, 0.583)]),
    (1.5e-5, [(0.773, 0.747, 0.467), (0.684, 0.665, 0.583), (0.611, 0.603, 0.647), (0.562, 0.566, 0.730)]),
)
NOISY = (
    (1e-4, [(0.60, 0.58, 0.679), (0.50, 0.55, 0.721)]),
    (1e-4, [(0.62, 0.58, 0.700), (0.55, 0.575, 0.700), (0.50, 0.572, 0.706)]),
    (1e-4, [(0.62, 0.58, 0.700), (0.55, 0.575, 0.700), (0.50, 0.572, 0.694)]),
)
FLAT_END = [(0.66, 0.63, 0.65), (0.62, 0.61, 0.67), (0.60, 0.602, 0.68), (0.588, 0.60, 0.682), (0.588, 0.60, 0.682)]
SITUATIONS = {
    "over-fitting": ((3e-4, [(0.6, 0.56, 0.70), (0.4, 0.58, 0.709), (0.22, 0.75, 0.70), (0.1, 1.05, 0.694)]),),
    "one diverged epoch": ((0.01, [(1.4, 2.1, 0.5)]),),
    "a plateau": ((5e-5, FLAT_END),),
    "diverged": DIVERGED,
    "growing": GROWING,
    "noisy": NOISY,
}
"""Rate and (train_loss, val_loss, val_acc) of each epoch, of each run."""
RUNS = [(name, place) for name, runs in SITUATIONS.items() for place in range(len(runs))]


def make(ws, name):
    for place, (rate, rows) in enumerate(SITUATIONS[name]):
        start = START + 100 * place
        events = [Event("start", start), Event("derived", start, data={"total_steps": 20 * len(rows)})]
        for epoch, (train, val, acc) in enumerate(rows, 1):
            metrics = {"val_loss": val, "val_acc": acc, "val_pairs": 340}
            at = (start + epoch, 20 * epoch, float(epoch))
            events += [Event("eval", *at, metrics), Event("epoch", *at, {"train_loss": train, **metrics})]
        settings = config(num_epochs=len(rows), learning_rate=rate, lora=LORA, method="lora")
        make_run_folder(ws, f"r{place}", events=events, created=start, config=settings, data="t", preset="")


def answer(ws, capsys, *args):
    assert main(["-C", str(ws.root), "advise", *args]) == 0
    return capsys.readouterr().out.rstrip("\n")


def rows_of(text, columns):
    return sum(-(-max(1, width(line)) // columns) for line in text.split("\n"))


@pytest.mark.parametrize(("name", "place"), RUNS)
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_it_fits_twelve_lines_of_the_terminal_and_begins_with_the_verdict(ws, capsys, monkeypatch, name, place, lang):
    make(ws, name)
    run = f"r{place}"
    document = json.loads(answer(ws, capsys, run, "--json", "--lang", lang))
    for columns in (60, 80, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert shutil.get_terminal_size().columns == columns
        text = answer(ws, capsys, run, "--lang", lang)
        assert rows_of(text, columns) <= 12, text
        assert text.split("\n")[0] == document["verdict"] and "val_acc" in document["verdict"]
        assert f"rmtui advise {run} --all" in text
        assert len(re.findall(r"^\S* +\d\. ", text, re.M)) == min(3, len(document["advice"]))


@pytest.mark.parametrize(("name", "place"), RUNS)
def test_nothing_in_it_contradicts_the_verdict(ws, capsys, name, place):
    make(ws, name)
    document = json.loads(answer(ws, capsys, f"r{place}", "--json", "--lang", "en"))
    verdict, said = document["verdict"], {row["id"] for row in document["readings"]}
    steps = {row["id"]: row for row in document["advice"]}
    rates = {row["changes"]["learning_rate"] for row in steps.values() if "learning_rate" in row["changes"]}
    mine = SITUATIONS[name][place][0]
    assert all(rate < mine for rate in rates) or all(rate > mine for rate in rates), rates
    if verdict.startswith("Diverged"):
        assert not said & {"train_above_val", "no_overfitting", "overfitting_gap", "gap_small"}
        assert not {"more_epochs", "one_more_epoch", "higher_rate", "preset_a", "more_dropout"} & steps.keys()
    if "keep" in steps or "tuning_done" in steps or "cannot_tell" in steps:
        assert not [row for row in steps.values() if row["changes"]]
    if "stop_earlier" in steps:
        assert not {"more_epochs", "one_more_epoch"} & steps.keys()


@pytest.mark.parametrize(
    ("name", "run", "begins", "without"),
    [
        ("over-fitting", "r0", "Over-fitting, no clear change", "getting worse"),
        ("one diverged epoch", "r0", "Diverged: val_acc 50.0 % (±5.3), val_loss 2.1. Next: learning rate 0.001", "fit"),
        ("a plateau", "r0", "Perhaps improving", "One more epoch"),
        ("diverged", "r2", "Diverged", "Under-trained"),
        ("growing", "r2", "Improving: val_acc 46.7 → 73.0 % (±4.7)", "Keep"),
        ("noisy", "r2", "No clear change: val_acc 70.0 → 69.4 %", "▲ val_acc fell"),
    ],
)
def test_the_verdict_says_no_more_than_the_pairs_do(ws, capsys, name, run, begins, without):
    make(ws, name)
    text = answer(ws, capsys, run, "--lang", "en")
    assert text.startswith(begins)
    assert without not in text


def test_all_has_every_reading_with_its_id_and_the_path(ws, capsys):
    make(ws, "noisy")
    document = json.loads(answer(ws, capsys, "r2", "--json", "--lang", "en"))
    whole = answer(ws, capsys, "r2", "--all", "--lang", "en")
    for row in [*document["readings"], *document["advice"]]:
        assert row["text"] in whole and f"[{row['id']}]" in whole
    assert all(step["text"] in whole for step in document["path"])


def test_the_guides_own_step_is_named_as_such_beside_the_recommendation(ws, capsys):
    make(ws, "noisy")
    lines = answer(ws, capsys, "r1", "--lang", "en").split("\n")
    first = next(line for line in lines if " 1. " in line)
    assert first.endswith("A higher rate: learning_rate 1e-4 → 3e-4, num_epochs 3 → 1")
    assert any(re.search(r" [23]\. Guide: ", line) for line in lines)


def test_a_run_that_has_measured_nothing_yet_says_so(ws, capsys):
    make_run_folder(ws, "now", events=[Event("start", START)], outcome=None)
    assert answer(ws, capsys, "now", "--lang", "en").startswith("No metrics yet.")
