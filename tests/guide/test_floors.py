"""Floors: simple rivals on real shapes of files, against numpy and scipy; what a reading makes of them."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from scipy import optimize
from support import config, make_run_folder, training

from rmtui.cli import main
from rmtui.guide.bag_of_words import fit_words, prefers_chosen
from rmtui.index.index import Index
from rmtui.operations import floors as floors_operation
from trainer.__main__ import main as trainer_main
from trainer.clusters import words
from trainer.model import toy
from trainer.pairs import fingerprint

FILLER = [f"word{n}" for n in range(30)]


def pairs(count, seed, strength=0.8):
    """Answers of fillers in which `kind` marks the chosen one, and `rude` the rejected one, as often as `strength`."""
    draw, found = random.Random(seed), []
    for _ in range(count):
        sides = [draw.choices(FILLER, k=draw.randint(4, 12)) for _ in range(2)]
        first = draw.random() < strength
        sides[0 if first else 1].append("kind")
        sides[1 if draw.random() < strength else 0].append("rude")
        found.append((" ".join(sides[0]), " ".join(sides[1])))
    return found


def test_the_bag_of_words_is_logistic_regression_as_scipy_fits_it():
    train, held = pairs(600, 1), pairs(400, 2)
    known = sorted({word for pair in train for side in pair for word in words(side)})

    def row(chosen, rejected):
        one, other = ([np.log1p(words(side).count(word)) for word in known] for side in (chosen, rejected))
        found = np.subtract(one, other)
        return found / (np.linalg.norm(found) or 1.0)

    x = np.array([row(*pair) for pair in train])
    loss = lambda w: np.logaddexp(0, -x @ w).mean() + 0.0005 * w @ w  # noqa: E731
    theirs = optimize.minimize(loss, np.zeros(len(known))).x
    right = np.array([row(*pair) @ theirs > 0 for pair in held])
    weights = fit_words(train)
    mine = np.array([prefers_chosen(weights, *pair) for pair in held])
    assert np.mean(mine == right) > 0.93 and abs(mine.mean() - right.mean()) < 0.03
    assert weights["kind"] > 0.5 and weights["rude"] < -0.5
    assert fit_words(train) == weights


def test_without_a_signal_it_is_a_coin_on_other_pairs():
    weights = fit_words(pairs(400, 3, 0.5))
    assert 0.42 < np.mean([prefers_chosen(weights, *pair) for pair in pairs(600, 4, 0.5)]) < 0.58


def test_texts_without_a_known_word_are_a_tie_and_so_wrong():
    weights = fit_words(pairs(50, 5))
    assert not prefers_chosen(weights, "unseen", "unheard") and not prefers_chosen(weights, "kind", "kind")


def write(path, made, **fields):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"id": f"{path.parent.name}{n}", "prompt": f"Question {n}?", "chosen": chosen, "rejected": rejected}
        | {key: values[n % len(values)] for key, values in fields.items()}
        for n, (chosen, rejected) in enumerate(made)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def floors(ws, capsys, train, val):
    assert main(["-C", str(ws.root), "floors", str(train), str(val), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_rulers_and_words_are_scored_by_source(ws, capsys):
    made = pairs(200, 7)
    train = write(ws.root / "train" / "p.jsonl", pairs(500, 6))
    val = write(ws.root / "val" / "p.jsonl", made, source=["a", "b"])
    found = floors(ws, capsys, train, val)
    scores = {row["floor"]: row["accuracy"] for row in found["floors"]}
    sizes = np.array([[len(side) for side in pair] for pair in made])
    assert scores["longer"] == pytest.approx(np.mean(sizes[:, 0] > sizes[:, 1]))
    assert scores["shorter"] == pytest.approx(np.mean(sizes[:, 0] < sizes[:, 1]))
    assert found["best"] == "words" and scores["words"] > 0.7
    a, b = found["sources"]
    assert (a["source"], a["pairs"], b["pairs"]) == ("a", 100, 100)
    for place, part in ((0, a), (1, b)):
        longer = next(row for row in part["floors"] if row["floor"] == "longer")
        assert longer["accuracy"] == pytest.approx(np.mean(sizes[place::2, 0] > sizes[place::2, 1]))
    assert main(["-C", str(ws.root), "floors", str(train), str(val)]) == 0
    assert "bag of words" in capsys.readouterr().out


def test_a_runs_val_acc_is_held_against_the_best_rival_that_was_measured(ws, capsys):
    train, val = write(ws.root / "t" / "p.jsonl", pairs(500, 6)), write(ws.root / "v" / "p.jsonl", pairs(200, 7))
    events = training()
    last = max(n for n, event in enumerate(events) if event.kind == "eval")
    lengths = {"pairs_chosen_shorter": 100.0, "val_acc_chosen_shorter": 0.75, "length_correlation": 0.01}
    events[last] = events[last]._replace(metrics={**events[last].metrics, **lengths})
    prints = {"train": fingerprint(train), "val": fingerprint(val)}
    make_run_folder(ws, "a", events=events, fingerprints=prints, config=config())

    def reading():
        assert main(["-C", str(ws.root), "advise", "a", "--json", "--lang", "en"]) == 0
        rows = json.loads(capsys.readouterr().out)["readings"]
        return next(row for row in rows if row["id"] == "above_ruler")

    assert reading()["figures"]["ruler"] == "shorter" and reading()["figures"]["floor"] == 0.5
    best = max(row["accuracy"] for row in floors(ws, capsys, train, val)["floors"])
    found = reading()
    assert found["figures"]["ruler"] == "words" and found["figures"]["floor"] == best
    assert "a bag of words" in found["text"] and found["figures"]["above"] == pytest.approx(0.74 - best)


def test_only_a_runs_own_base_is_a_floor_under_it(ws, capsys, tmp_path, monkeypatch):
    train, val = write(ws.root / "t" / "p.jsonl", pairs(60, 6)), write(ws.root / "v" / "p.jsonl", pairs(30, 7))
    prints = {"train": fingerprint(train), "val": fingerprint(val)}
    for name in ("mine", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    answers = {"other": [1.0] * 30, "mine": [-1.0] * 30, "org/hub": [1.0] * 29 + [-1.0]}

    def asked(command, *_):
        margins = answers[command[1].removeprefix(f"{tmp_path}/")]
        found = {"model": command[1], "ids": list(of_pairs), "max_length": 512, "penalty": 1.0, "why_none": ""}
        return 0, json.dumps({**found, "probe": margins, "log_probability": None}), []

    of_pairs = [row.id for row in floors_operation.rows_of(val, None)]
    monkeypatch.setattr("rmtui.operations.frozen_base.run_trainer", asked)

    def floor_of(model):
        run = make_run_folder(ws, fingerprints=prints, config=config(model=model)).id
        index = Index.open(ws)
        index.sync()
        found = floors_operation.best_floor(ws, index.run(run))
        index.close()
        return found

    words = max(row["accuracy"] for row in floors(ws, capsys, train, val)["floors"])
    assert floor_of("org/hub")[1] == words
    for name in ("mine", "other", "org/hub"):
        base = name if "/" in name else str(tmp_path / name)
        assert main(["-C", str(ws.root), "floors", str(train), str(val), "--base", base]) == 0
    capsys.readouterr()
    assert floor_of(str(tmp_path / "mine"))[1] == floor_of(str(tmp_path / "link"))[1] == words < 1
    assert floor_of(str(tmp_path / "other")) == ("probe", 1.0) and floor_of("org/hub") == ("probe", 29 / 30)
    assert floor_of("org/another")[1] == words


def test_a_file_without_pairs_is_refused_in_words(ws, capsys):
    empty = ws.root / "empty.jsonl"
    empty.write_text("")
    val = write(ws.root / "v" / "p.jsonl", pairs(5, 7))
    assert main(["-C", str(ws.root), "floors", str(empty), str(val)]) == 2
    assert "empty.jsonl" in capsys.readouterr().err
    assert main(["-C", str(ws.root), "floors", str(ws.root / "gone.jsonl"), str(val)]) == 2


def test_a_frozen_base_is_a_rival_too_and_asked_once(ws, capsys, tmp_path, monkeypatch):
    toy.make_decoder(tmp_path / "base", [" ".join(FILLER)] * 20, vocabulary=300, hidden=32, heads=4, key_value_heads=2)
    train, val = (
        write(ws.root / "t" / "p.jsonl", pairs(60, 6)),
        write(ws.root / "v" / "p.jsonl", pairs(30, 7), source=["a", "b"]),
    )
    assert main(["-C", str(ws.root), "floors", str(train), str(val), "--base", str(tmp_path / "base"), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert {row["floor"] for row in first["floors"]} == {"longer", "shorter", "words", "probe", "log_probability"}
    assert not first["base"]["kept"] and all(len(part["floors"]) == 5 for part in first["sources"])
    assert trainer_main(["base-floors", str(tmp_path / "base"), str(train), str(val)]) == 0
    theirs = json.loads(capsys.readouterr().out)
    for name in ("probe", "log_probability"):
        row = next(row for row in first["floors"] if row["floor"] == name)
        assert row["accuracy"] == np.mean(np.array(theirs[name]) > 0)
    monkeypatch.setattr("rmtui.operations.frozen_base.run_trainer", None)
    assert main(["-C", str(ws.root), "floors", str(train), str(val), "--base", str(tmp_path / "base"), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["base"].pop("kept") and first["base"].pop("kept") is False and again == first


def test_a_base_that_is_not_there_or_not_named_is_refused(ws, capsys, tmp_path):
    train, val = write(ws.root / "t" / "p.jsonl", pairs(20, 6)), write(ws.root / "v" / "p.jsonl", pairs(9, 7))
    assert main(["-C", str(tmp_path), "floors", str(train), str(val), "--base"]) == 2
    assert "no base model is named" in capsys.readouterr().err
    assert main(["-C", str(ws.root), "floors", str(train), str(val), "--base", str(tmp_path / "gone")]) == 1
    said = capsys.readouterr().err
    assert "gone" in said and "None" not in said
