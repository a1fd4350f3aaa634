"""Length in place of preference: the readings by brute force over single pairs, and through the whole program."""

from __future__ import annotations

import json

import numpy as np
import pytest
from guide_cases import said, subject
from support import make_run_folder, training

from rmtui.cli import main
from rmtui.guide.length import by_length
from rmtui.guide.model import LengthFacts


def measured(right, shorter, correlation=-0.5):
    facts = LengthFacts(np.mean(right), len(right), shorter.sum(), np.mean(right[shorter]), correlation)
    share = float(np.mean(right))
    return subject([(0.6, 0.6, share)], val_pairs=len(right), more={"lengths": facts})


def test_the_two_kinds_are_those_of_the_single_pairs():
    rng = np.random.default_rng(41)
    right, shorter = rng.random(300) < 0.7, rng.random(300) < 0.4
    found = by_length(measured(right, shorter))
    assert found.accuracy_shorter == pytest.approx(right[shorter].mean())
    assert found.accuracy_rest == pytest.approx(right[~shorter].mean())
    assert found.controlled == pytest.approx((right[shorter].mean() + right[~shorter].mean()) / 2)
    assert found.ruler == ("not_shorter", pytest.approx((~shorter).mean()))


@pytest.mark.parametrize(("high", "low", "prefers"), [(0.889, 0.28, "shorter"), (0.25, 0.85, "longer")])
def test_a_model_that_goes_by_length_is_called_that(high, low, prefers):
    shorter = np.arange(200) < 120
    right = np.where(shorter, np.arange(200) < 120 * high, np.arange(200) - 120 < 80 * low)
    found = said(measured(right, shorter))
    assert found["ruler"].figures["prefers"] == prefers and found["ruler"].severity == "warning"
    assert "above_ruler" not in found


def test_a_gap_within_chance_or_a_small_one_is_no_ruler():
    few = np.arange(24)
    assert "ruler" not in said(measured(few % 12 < np.where(few < 12, 9, 5), few < 12))  # 75 against 42 % of 12 each
    rng, many = np.random.default_rng(42), np.arange(4000)
    right = rng.random(4000) < np.where(many < 2000, 0.75, 0.65)
    found = said(measured(right, many < 2000))
    assert "ruler" not in found and found["above_ruler"].figures["above"] == pytest.approx(right.mean() - 0.5)


def test_too_few_of_a_kind_say_nothing():
    shorter = np.arange(100) < 9
    assert by_length(measured(np.ones(100, bool), shorter)) is None


def test_a_run_below_the_ruler_is_warned_of():
    shorter = np.arange(200) < 150
    found = said(measured(np.arange(200) % 10 < 6, shorter))
    assert found["above_ruler"].severity == "warning" and found["above_ruler"].figures["above"] < 0


def test_it_is_said_with_its_numbers_by_the_program(ws, capsys):
    events = training()
    last = max(n for n, event in enumerate(events) if event.kind == "eval")  # 148 of 200 pairs right
    measured = {"pairs_chosen_shorter": 120.0, "val_acc_chosen_shorter": 0.95, "length_correlation": -0.86}
    events[last] = events[last]._replace(metrics={**events[last].metrics, **measured})
    make_run_folder(ws, "a", events=events)
    assert main(["-C", str(ws.root), "advise", "a", "--all", "--lang", "en"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "goes by length" in out and "95.0 % of the 120 pairs" in out and "42.5 % of the other 80" in out
    assert main(["-C", str(ws.root), "advise", "a", "--json"]) == 0
    (row,) = [row for row in json.loads(capsys.readouterr().out)["readings"] if row["id"] == "ruler"]
    assert row["figures"]["controlled"] == pytest.approx((0.95 + 0.425) / 2) and row["figures"]["ruler"] == "shorter"
