"""Forecasts: when there is one, what it says, and the record of how well they did."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from guide_cases import subject

from rmtui.guide.forecast import Forecast, comparable, forecast, outcomes, record
from rmtui.operations import forecasts
from rmtui.runs.model import State

SETTINGS = {"learning_rate": 1.5e-5, "model": "base", "lora": {"r": 32}, "num_epochs": 8}


def running(rows, **more):
    return subject(rows, config=SETTINGS, state=State.RUNNING, **{"num_epochs": 8, **more})


def curve(count, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return [(None, 0.9 - 0.1 * math.log(x) + rng.normal(0, noise), None) for x in range(1, count + 1)]


@pytest.mark.parametrize(("count", "some"), [(4, False), (5, True)])
def test_five_evaluations_make_a_forecast(count, some):
    found = forecast(running(curve(count)))
    assert bool(found) is some
    if some:
        assert {(item.metric, item.method, item.n) for item in found} == {("val_loss", "curve", 5)}
        assert [item.epoch for item in found] == [6.0, 7.0]
        assert found[0].value == pytest.approx(0.9 - 0.1 * math.log(6))


@pytest.mark.parametrize(("count", "some"), [(2, False), (3, True)])
def test_three_comparable_past_runs_make_a_forecast(count, some):
    past = [
        subject([(None, 0.9, None), (None, 0.8 - 0.01 * n, None)], name=f"past-{n}", config=SETTINGS)
        for n in range(count)
    ]
    found = forecast(running([(None, 1.0, None)]), past)
    assert bool(found) is some
    if some:
        assert found[0].method == "runs" and found[0].n == 3
        assert found[0].value == pytest.approx(1.0 - 0.11)
        assert found[0].low < found[0].value < found[0].high


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"learning_rate": 2.2e-5}, True),
        ({"learning_rate": 2.3e-5}, False),
        ({"model": "other"}, False),
        ({"lora": {"r": 16}}, False),
        ({"num_epochs": 3}, False),
    ],
)
def test_which_runs_are_comparable(change, same):
    one = running([(None, 1.0, None)], name="one")
    other = subject([(None, 1.0, None)], name="other", config={**SETTINGS, **change})
    assert comparable(one, other) is same


def test_runs_on_other_validation_pairs_are_not_comparable():
    one = running([(None, 1.0, None)], name="one", val_fingerprint="x")
    assert not comparable(one, subject([(None, 1.0, None)], name="b", config=SETTINGS, val_fingerprint="y"))
    assert not comparable(one, one)


def test_nothing_is_forecast_of_a_run_that_has_ended_or_beyond_its_last_epoch():
    assert forecast(subject(curve(6), config=SETTINGS, state=State.FINISHED, num_epochs=8)) == []
    assert [item.epoch for item in forecast(running(curve(7)))] == [8.0]


def test_evaluations_between_epochs_count():
    points = tuple((0.25 * n, 0.9 - 0.1 * math.log(n)) for n in range(1, 6))
    item = running([(None, 0.8, None)], more={"evaluations": {"val_loss": points}})
    assert [found.epoch for found in forecast(item)] == [1.5, 1.75]


def test_the_interval_holds_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = []
    for seed in range(400):
        said = forecast(running(curve(6, noise=0.01, seed=seed)))[0]
        came = 0.9 - 0.1 * math.log(7) + rng.normal(0, 0.01)
        hits.append(said.low <= came <= said.high)
    assert 0.92 < np.mean(hits) < 0.98


def test_accuracies_stay_between_0_and_1():
    rows = [(None, None, share) for share in (0.7, 0.9, 0.97, 0.99, 1.0)]
    assert all(0 <= end <= 1 for item in forecast(running(rows)) for end in (item.low, item.value, item.high))


def test_the_record_counts_hits_and_errors():
    said = [
        Forecast("val_loss", 1.0, 2.0, 0.70, 0.60, 0.80, "runs", 3),
        Forecast("val_loss", 1.0, 3.0, 0.5, 0.4, 0.6, "runs", 3),
    ]
    item = subject([(None, 0.9, None), (None, 0.75, None)])
    found = record(outcomes(said, item))
    assert (found.count, found.hits, found.mean_error) == (1, 1, pytest.approx(0.05))
    assert record([]) is None


def test_forecasts_are_kept_once_and_survive_a_torn_line(tmp_path):
    said = [Forecast("val_loss", 1.0, 2.0, 0.70, 0.60, 0.80, "runs", 3)]
    assert forecasts.keep(tmp_path, said) and forecasts.keep(tmp_path, said)
    with (tmp_path / forecasts.FILE).open("a") as file:
        file.write('{"metric": "val_l')
    assert forecasts.recorded(tmp_path) == said
    later = dataclasses.replace(said[0], at=2.0, epoch=3.0)
    forecasts.keep(tmp_path, [later])
    assert forecasts.recorded(tmp_path) == [*said, later]


def test_a_folder_that_cannot_be_written_keeps_nothing_and_says_so(tmp_path):
    assert forecasts.keep(tmp_path / "gone", [Forecast("val_loss", 1.0, 2.0, 0.7, 0.6, 0.8, "runs", 3)]) is False
