"""Bands: the guide's own figures, carried over elsewhere, and where a run's figures lie."""

from __future__ import annotations

import pytest
from guide_cases import of_guide, subject

from rmtui.guide import expectations, published_figures
from rmtui.guide.thresholds import Thresholds
from rmtui.runs.model import State

A = {"num_epochs": 3, "learning_rate": 1.5e-5, "model": "base"}
OWN = Thresholds(guide_model="base")


def bands(wanted, item, limits=OWN):
    return {(band.metric, band.epoch): (band.low, band.high) for band in expectations.bands(wanted, item, limits)}


def preset_a(rows=((0.87, 0.59, 0.68),), **more):
    return subject(list(rows), config=A, preset="A", **{"num_epochs": 3, **more})


def wanted_of(item, expect=None):
    return expectations.expectation(item.run.preset, expect or {}, item.run.config)


def test_a_has_the_guides_ranges_at_its_end_and_the_path_before():
    item = preset_a()
    found = bands(wanted_of(item, dict(published_figures.PRESET_A)), item)
    assert found["train_loss", 3] == (0.55, 0.60)
    assert found["val_acc", 3] == (0.73, 0.76)
    assert found["val_loss", 2] == pytest.approx((0.55, 0.61))
    assert found["val_acc", 1] == pytest.approx((0.665, 0.695))


def test_where_path_and_range_disagree_the_epochs_own_point_counts():
    low, high = bands(wanted_of(preset_a()), preset_a())["val_loss", 3]
    assert low < 0.54 < high and high < 0.58  # not the range 0.55 … 0.58


@pytest.mark.parametrize("preset", ["B", "C"])
def test_of_b_and_c_no_figure_is_given(preset):
    item = subject([(0.8, 0.7, 0.6)], config={"learning_rate": 2e-5}, preset=preset)
    assert wanted_of(item) is None


def test_more_epochs_at_the_guides_rate_follow_its_ideal_path():
    item = subject([(0.87, 0.59, 0.68)], config={"learning_rate": 1e-5, "model": "base"}, num_epochs=4)
    found = bands(wanted_of(item), item)
    for point in published_figures.IDEAL:
        low, high = found["val_acc", point.epoch]
        assert low < point.val_acc < high


def test_elsewhere_bands_are_relative_to_the_first_epoch():
    item = preset_a([(1.74, 1.18, 0.60)])
    found = bands(wanted_of(item), item, Thresholds())
    assert ("val_loss", 1) not in found  # the first epoch is what the rest is held against
    low, high = found["train_loss", 2]
    assert low < 1.74 * 0.65 / 0.87 < high
    low, high = found["val_acc", 3]
    assert (low, high) == pytest.approx((0.60 + 0.73 - 0.68, 0.60 + 0.76 - 0.68))


def test_without_a_first_epoch_there_is_nothing_to_be_relative_to():
    assert bands(wanted_of(preset_a([])), preset_a([]), Thresholds()) == {}


@pytest.mark.parametrize(
    ("item", "own"),
    [
        (of_guide(published_figures.AFTER, "anything"), True),
        (subject([(0.6728, 0.61, None)], state=State.IMPORTED), False),
        (subject([(0.6728, 0.6050, None)]), False),
        (subject([(0.6, 0.6, 0.7)], config={"model": "base"}), True),
        (subject([(0.6, 0.6, 0.7)], config={"model": "other"}), False),
        (subject([(0.6, 0.6, 0.7)], config={"model": "base"}, data="harmless"), False),
    ],
)
def test_whose_figures_the_bands_are(item, own):
    assert expectations.is_guides_own(item, OWN) is own


@pytest.mark.parametrize(
    ("val_loss", "place", "better"),
    [(0.541, "below", True), (0.551, "in", None), (0.609, "in", None), (0.611, "above", False)],
)
def test_an_epoch_is_in_above_or_below_its_band(val_loss, place, better):
    item = preset_a([(0.87, 0.59, 0.68), (0.65, val_loss, 0.72)])
    found = [
        judged
        for judged in expectations.judge(wanted_of(item), item, OWN)
        if (judged.band.metric, judged.band.epoch) == ("val_loss", 2)
    ]
    assert [(judged.place, judged.better) for judged in found] == [(place, better)]


@pytest.mark.parametrize(
    ("acc", "place", "better", "enough"),
    [(0.729, "below", False, False), (0.731, "in", None, True), (0.761, "above", True, True)],
)
def test_the_end_of_a_run_is_judged(acc, place, better, enough):
    item = preset_a([(0.87, 0.59, 0.68), (0.65, 0.58, 0.72), (0.56, 0.57, acc)])
    wanted = wanted_of(item)
    found = [judged for judged in expectations.judge(wanted, item, OWN) if judged.last]
    by_metric = {judged.band.metric: judged for judged in found}
    assert (by_metric["val_acc"].place, by_metric["val_acc"].better) == (place, better)
    assert expectations.good_enough(wanted, item, OWN) is enough


def test_a_run_that_goes_on_has_no_end_yet():
    item = preset_a([(0.87, 0.59, 0.68), (0.65, 0.58, 0.72)], state=State.RUNNING)
    assert not any(judged.last for judged in expectations.judge(wanted_of(item), item, OWN))
    assert expectations.good_enough(wanted_of(item), item, OWN) is None


def test_a_persons_own_expectation_is_absolute_everywhere():
    item = subject([(1.2, 1.1, 0.6)] * 2, config={"model": "other"}, preset="mine", data="harmless")
    wanted = wanted_of(item, {"val_loss": (0.9, 1.0)})
    found = expectations.judge(wanted, item, Thresholds())
    assert [(judged.band.metric, judged.place, judged.better) for judged in found] == [("val_loss", "above", False)]
