"""The best of many: what it is worth on other pairs, and the ledger that forgets no candidate."""

from __future__ import annotations

import json
import random
import shutil
from itertools import chain

import numpy as np
import pytest
from rich.style import Style
from support import START, config, make_run_folder, training

from rmtui.app.presentation.summary import summarise
from rmtui.app.widgets.glyphs import UNICODE
from rmtui.app.widgets.palette import Palette
from rmtui.cli import main
from rmtui.guide.chosen import correct_choice
from rmtui.operations.runs import reading

PAIRS = 120
ALONE = [str(n) for n in range(PAIRS)]


def bits(right):
    return int("".join("1" if one else "0" for one in reversed(right)), 2)


@pytest.mark.parametrize(("many", "times"), [(1, 1500), (5, 200), (20, 100)])
def test_the_interval_of_the_best_of_many_equal_candidates_holds_the_truth(many, times):
    rng, hits, off, raw = np.random.default_rng(31), [], [], []
    for _ in range(times):
        candidates = [bits(right) for right in rng.random((many, PAIRS)) < 0.7]
        best = max(range(many), key=lambda one: candidates[one].bit_count())
        found = correct_choice(candidates, best, ALONE, draws=120)
        hits.append(found.interval.low <= 0.7 <= found.interval.high)
        off.append(found.corrected - 0.7)
        raw.append(found.value - 0.7)
    assert np.mean(hits) >= 0.93
    assert abs(np.mean(off)) < 0.012
    assert many == 1 or np.mean(raw) > 0.03  # what the best looks like, uncorrected


def test_pairs_of_one_prompt_are_drawn_together():
    """All pairs of a prompt agree: 24 measurements, whatever the number of pairs."""
    rng = np.random.default_rng(32)
    candidates = [bits(np.repeat(right, 5)) for right in rng.random((6, 24)) < 0.7]
    best = max(range(6), key=lambda one: candidates[one].bit_count())
    shared = correct_choice(candidates, best, [str(n // 5) for n in range(PAIRS)])
    alone = correct_choice(candidates, best, ALONE)
    assert shared.interval.half > 1.7 * alone.interval.half
    assert shared.corrected < alone.corrected - 0.02
    assert correct_choice(candidates, best, [str(n // 40) for n in range(PAIRS)]) is None  # three prompts


def test_it_equals_a_brute_force_over_the_same_resamples():
    rng = np.random.default_rng(33)
    right = rng.random((4, 30)) < np.array([[0.5], [0.6], [0.65], [0.7]])
    clusters = [str(n // 2) for n in range(30)]
    best = int(np.argmax(right.sum(axis=1)))
    found = correct_choice([bits(one) for one in right], best, clusters, draws=60, seed=3)
    order = [best, *(n for n in range(4) if n != best)]
    draw, outside = random.Random(3), []
    for _ in range(60):
        chosen = draw.choices(range(15), k=15)
        inside = list(chain.from_iterable((2 * one, 2 * one + 1) for one in chosen))
        out = [n for n in range(30) if n // 2 not in chosen]
        top = order[int(np.argmax([right[n][inside].mean() for n in order]))]
        outside.append(right[top][out].mean())
    assert found.corrected == pytest.approx(min(np.mean(outside), right[best].mean()))


def write(folder, right, epochs=(3,)):
    path = folder.path / "validation"
    path.mkdir(exist_ok=True)
    for epoch in epochs:
        rows = [
            {"id": f"p{n:03}", "chosen": float(one), "rejected": 0.5, "chosen_tokens": 9, "rejected_tokens": 8}
            for n, one in enumerate(right)
        ]
        (path / f"epoch-{epoch}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def runs(ws, count, truth=0.7):
    rng, folders = np.random.default_rng(34), []
    for n in range(count):
        right = rng.random(PAIRS) < truth
        events = training(accuracy=(0.6, 0.65, right.mean()))
        folders.append(make_run_folder(ws, f"r{n}", events=events, created=START + n, config=config(seed=n)))
        write(folders[-1], right)
    return folders


def chosen(ws, capsys, ref="@best"):
    assert main(["-C", str(ws.root), "show", ref, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["chosen"]


def test_show_and_compare_say_what_the_best_of_all_runs_is_worth(ws, capsys):
    runs(ws, 8)
    found = chosen(ws, capsys)
    assert (found["candidates"], found["runs"], found["best"]) == (8, 8, True)
    assert found["corrected"] < found["value"] and found["interval"][0] < 0.7 < found["interval"][1]
    assert main(["-C", str(ws.root), "compare", "@best", "r0", "r1", "--lang", "en"]) == 0
    assert "best of 8 evaluations of 8 runs" in capsys.readouterr().out
    assert main(["-C", str(ws.root), "show", "@best", "--lang", "en"]) == 0
    assert "best of 8 evaluations of 8 runs" in capsys.readouterr().out


def test_beside_the_starred_run_of_the_list_its_correction_is_shown(ws):
    folders = runs(ws, 8)
    palette = Palette(*[Style()] * 13, runs=(Style(),), fills=(None,))
    with reading(ws) as index:
        starred = index.landmarks().best
        shown = {
            folder.id: " ".join(map(str, summarise(ws, index, index.run(folder.id), UNICODE, palette, "en").rows))
            for folder in folders
        }
    assert starred and {run for run, text in shown.items() if "best of 8 evaluations of 8 runs" in text} == set(starred)


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_deleted_run_was_a_candidate_all_the_same(ws, capsys, by_hand):
    folders = runs(ws, 5)
    if by_hand:  # whatever was looked at once is in the ledger
        chosen(ws, capsys)
    best = chosen(ws, capsys)["run"] if by_hand else None
    gone = next(folder for folder in folders if folder.id != best)
    if by_hand:
        shutil.rmtree(gone.path)
    else:
        assert main(["-C", str(ws.root), "rm", gone.id, "--yes"]) == 0
        capsys.readouterr()
    assert chosen(ws, capsys)["candidates"] == 5


def test_the_list_marks_the_best_of_many_and_says_what_it_is_worth(ws, capsys):
    folders = runs(ws, 6)
    best = chosen(ws, capsys)
    name = next(f"r{n}" for n, folder in enumerate(folders) if folder.id == best["run"])

    def listed(*more):
        assert main(["-C", str(ws.root), "ls", "--lang", "en", *more]) == 0
        return "".join(capsys.readouterr())

    lines = listed().splitlines()
    (starred,) = (line for line in lines[:-1] if "★" in line)
    assert name in starred and lines[-1] == f"★ {name}: {best['text']}"
    assert f"about {100 * best['corrected']:.1f} %" in lines[-1] and best["corrected"] < best["value"]
    assert "★" not in listed(f"--filter=name:{'r0' if name != 'r0' else 'r1'}")
    assert "★" not in listed("--json")


def test_the_only_evaluation_was_not_chosen(ws, capsys):
    runs(ws, 1)
    assert chosen(ws, capsys, "r0") is None


def test_a_broken_ledger_is_read_as_far_as_it_goes(ws, capsys):
    runs(ws, 3)
    chosen(ws, capsys)
    (ledger,) = (ws.root / "candidates").glob("*.jsonl")
    ledger.write_bytes(ledger.read_bytes()[:-9] + b'\n{"run": 3}\n\xff\n[]\n')
    assert chosen(ws, capsys)["candidates"] == 3


def rows(events, losses):
    """The same training with these val_losses, an epoch each."""
    by_epoch = dict(enumerate(losses, 1))
    for event in events:
        if "val_loss" in event.metrics:
            event.metrics["val_loss"] = by_epoch[int(event.epoch)]
    return events


def tell_pairs(ws, name, count):
    """Of so many training pairs, by the run's own events."""
    (spec,) = (path for path in ws.runs.glob("*/spec.toml") if f'name = "{name}"' in path.read_text())
    events = spec.parent / "attempt-1" / "events.jsonl"
    events.write_text(events.read_text().replace('"total_steps"', f'"train_pairs": {count}, "total_steps"', 1))


def test_the_run_that_tuning_ends_with_is_said_to_be_worth_less_than_it_looks(ws, capsys):
    """The rate is bracketed and longer training was tried; by val_loss the run of 1e-4 leads, at its third epoch."""
    rng = np.random.default_rng(35)
    trials = ((3e-5, [0.64]), (3e-4, [0.64]), (3.3e-5, [0.63] * 4), (1e-4, [0.6, 0.59, 0.57, 0.575]))
    for n, (rate, losses) in enumerate(trials):
        many = len(losses)
        events = rows(training(epochs=many, accuracy=(0.7,) * many, val_pairs=PAIRS), losses)
        folder = make_run_folder(
            ws, f"r{n}", events, created=START + n, config=config(learning_rate=rate, num_epochs=many)
        )
        write(folder, rng.random(PAIRS) < 0.7, (min(3, many),))
    assert main(["-C", str(ws.root), "advise", "r3", "--json", "--lang", "en"]) == 0
    first = json.loads(capsys.readouterr().out)["advice"][0]
    assert first["id"] == "cannot_tell" and "on others about" in first["why"]

    tell_pairs(ws, "r3", 200)
    assert main(["-C", str(ws.root), "advise", "r3", "--json", "--lang", "en"]) == 0
    (first, *_) = json.loads(capsys.readouterr().out)["advice"]
    assert "rmtui learning-curve r3 --launch" in first["why"]

    half = {"train": "", "source": ["data/train/helpful_pairs.jsonl;limit=100"]}
    events = training(epochs=4, accuracy=(0.6,) * 4, val_pairs=PAIRS, start=START + 9)
    settings = config(learning_rate=1e-4, num_epochs=4, data=half)
    folder = make_run_folder(ws, "half", events, created=START + 9, config=settings, data="helpful_pairs")
    write(folder, rng.random(PAIRS) < 0.6, (1, 2, 3, 4))
    tell_pairs(ws, "half", 100)
    assert main(["-C", str(ws.root), "advise", "r3", "--json", "--lang", "en"]) == 0
    (first, *_) = json.loads(capsys.readouterr().out)["advice"]
    assert first["id"] == "cannot_tell" and "From 100 to 200 training pairs val_acc" in first["why"]


def test_a_choice_that_is_not_of_the_highest_accuracy_is_not_called_the_best(ws, capsys):
    runs(ws, 4)
    assert main(["-C", str(ws.root), "ls", "--json"]) == 0
    worst = min(json.loads(capsys.readouterr().out), key=lambda run: run["best"]["val_acc"])["name"]
    assert main(["-C", str(ws.root), "show", worst, "--lang", "en"]) == 0
    assert "was chosen among 4 evaluations of 4 runs" in capsys.readouterr().out
