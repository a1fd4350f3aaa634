"""Forecasts: when there is one, what it says, and the record of how well they did."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from guide_cases import subject
from scipy import stats

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
        slope = -0.1 * (math.log(5) - math.log(2)) / 3  # of the last three gaps
        assert [item.value for item in found] == pytest.approx([0.9 - 0.1 * math.log(5) + n * slope for n in (1, 2)])


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


def test_the_interval_is_students_of_the_errors_that_the_same_rule_made_before():
    values = [0.90, 0.80, 0.75, 0.69, 0.68, 0.66]
    slopes = [values[k] - values[k - 1] for k in range(1, 6)]
    promised = [values[k - 1] + np.mean(slopes[max(0, k - 4) : k - 1]) for k in range(2, 6)]
    spread = np.sqrt(np.mean([(values[k + 2] - one) ** 2 for k, one in enumerate(promised)]))
    said = forecast(running([(None, value, None) for value in values]))
    for n, item in enumerate(said, 1):
        half = stats.t.ppf(0.975, 4) * spread * math.sqrt((1, 1 + 4)[n - 1] * (1 + 1 / 4))
        middle = values[-1] + n * np.mean(slopes[-3:])
        assert (item.value, item.low, item.high) == pytest.approx((middle, middle - half, middle + half))


SHAPES = {
    "falls": lambda x, t: 0.75 - 0.06 * np.log(x),
    "flattens": lambda x, t: 0.58 + 0.15 * np.exp(-x / 2),
    "bends at once": lambda x, t: 0.6 + 0.03 * np.abs(x - t),
    "turns": lambda x, t: 0.58 + 0.12 * np.exp(-x / 1.5) + 0.015 * np.maximum(0, x - t) ** 1.5,
    "explodes": lambda x, t: 0.6 + 0.1 * np.exp(-x / 1.5) + 0.002 * np.exp(np.maximum(0, x - t) / 1.2),
}


@pytest.mark.parametrize("noise", [0.002, 0.01])
@pytest.mark.parametrize("shape", SHAPES)
def test_forecasts_that_are_made_hold_on_curves_that_turn_too(shape, noise):
    """12 evaluations, the turn anywhere from the second to the eighth; every forecast from the fifth on."""
    rng, hits = np.random.default_rng(5), []
    for _ in range(60):
        x = np.arange(1, 13)
        values = SHAPES[shape](x, rng.uniform(2, 8)) + rng.normal(0, noise, 12)
        for at in range(5, 12):
            said = forecast(running([(None, float(value), None) for value in values[:at]], num_epochs=12))
            hits += [item.low <= values[int(item.epoch) - 1] <= item.high for item in said]
    unforeseen = (
        shape == "bends at once" and noise == 0.002
    )  # a corner of fifteen times the noise between two evaluations
    assert len(hits) > 100 and np.mean(hits) >= (0.8 if unforeseen else 0.85)


@pytest.mark.parametrize("sign", [1, -1])
def test_while_a_curve_turns_for_the_worse_no_forecast_is_made(sign):
    worse = [0.5 + sign * step for step in (0.0, -0.05, -0.08, -0.09, -0.08, -0.05)]
    better = [0.5 + sign * step for step in (0.0, -0.05, -0.08, -0.09, -0.10, -0.105)]
    at = 1 if sign == 1 else 2
    rows = [[tuple(value if place == at else None for place in range(3)) for value in one] for one in (worse, better)]
    assert forecast(running(rows[0])) == [] and len(forecast(running(rows[1]))) == 2


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
