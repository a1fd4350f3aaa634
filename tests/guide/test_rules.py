"""Each rule on both sides of its threshold: the case, the readings that must be there, those that must not."""

from __future__ import annotations

import math

import pytest
from guide_cases import said, subject
from scipy import stats

from rmtui.guide import sentences
from rmtui.guide.model import BadValue, RewardSummary, TrainFacts
from rmtui.guide.paired_test import accuracy_test
from rmtui.guide.readings import read
from rmtui.guide.thresholds import Thresholds
from rmtui.runs.model import State
from rmtui.statistics import LN2

NONE = (None, None)


def losses(*train):
    return subject([(loss, None, None) for loss in train])


def vals(*val):
    return subject([(None, loss, None) for loss in val])


def accs(*acc, n=None):
    return subject([(None, None, share) for share in acc], val_pairs=n)


@pytest.mark.parametrize(
    ("train", "id", "absent"),
    [
        ((0.9, 0.8), "train_loss_fell", "train_loss_flat"),
        ((1.0, 0.997), "train_loss_fell", "train_loss_flat"),
        ((1.0, 0.999), "train_loss_flat", "train_loss_fell"),
        ((1.0, 1.001), "train_loss_flat", "train_loss_rose"),
        ((1.0, 1.003), "train_loss_rose", "train_loss_flat"),
    ],
)
def test_train_loss(train, id, absent):
    found = said(losses(*train))
    assert id in found and absent not in found
    assert found[id].figures["first"] == train[0] and found[id].figures["last"] == train[1]


@pytest.mark.parametrize(
    ("val", "id"),
    [
        ((0.60, 0.55), "val_loss_fell"),
        ((0.60, 0.5987), "val_loss_fell"),
        ((0.60, 0.5995), "val_loss_flat"),
        ((0.60, 0.6005), "val_loss_flat"),
        ((0.60, 0.6100), "val_loss_rose_little"),
        ((0.60, 0.6299), "val_loss_rose_little"),
        ((0.60, 0.6301), "val_loss_rose"),
    ],
)
def test_val_loss(val, id):
    found = said(vals(*val))
    kinds = {key for key in found if key in ("val_loss_fell", "val_loss_flat", "val_loss_rose_little", "val_loss_rose")}
    assert kinds == {id}


@pytest.mark.parametrize(
    ("train", "val", "there"),
    [(0.61, 0.60, True), (0.602, 0.60, True), (0.601, 0.60, False), (0.60, 0.60, False), (0.59, 0.60, False)],
)
def test_train_above_val(train, val, there):
    assert ("train_above_val" in said(subject([(train, val, None)]))) is there


@pytest.mark.parametrize(
    ("train", "val", "id", "severity"),
    [
        (0.40, 0.6001, "gap_warning", "warning"),
        (0.40, 0.5999, "gap_small", "info"),
        (0.60, 0.4001, "gap_small", "info"),
        (0.60, 0.3999, "gap_train_above", "info"),
    ],
)
def test_gap(train, val, id, severity):
    found = said(subject([(train, val, None)]))
    gaps = {key for key in found if key.startswith("gap_")}
    assert gaps == {id} and found[id].severity == severity
    assert found[id].figures["gap"] == pytest.approx(val - train)


@pytest.mark.parametrize(
    ("rows", "id"),
    [
        # The turn has to be more than a little, or last two epochs.
        ([(0.60, 0.60), (0.50, 0.56), (0.40, 0.587)], "no_overfitting"),
        ([(0.60, 0.60), (0.50, 0.56), (0.40, 0.589)], "overfitting_turn"),
        ([(0.60, 0.60), (0.50, 0.56), (0.45, 0.565), (0.42, 0.57)], "overfitting_turn"),
        ([(0.60, 0.60), (0.50, 0.56), (0.45, 0.575), (0.42, 0.57)], "no_overfitting"),
        # train_loss has to fall on meanwhile.
        ([(0.60, 0.60), (0.50, 0.56), (0.51, 0.60)], "no_overfitting"),
        # Far below.
        ([(0.35, 0.56)], "overfitting_gap"),
        ([(0.37, 0.56)], "no_overfitting"),
        # train_loss above val_loss is never over-fitting.
        ([(0.90, 0.50), (0.80, 0.60), (0.75, 0.70)], "no_overfitting"),
    ],
)
def test_overfitting(rows, id):
    found = said(subject([(train, val, None) for train, val in rows]))
    assert {key for key in found if "overfitting" in key} == {id}


@pytest.mark.parametrize(
    ("train", "apart"),
    [
        ((0.70, 1.90), True),
        ((0.70, 0.736), True),
        ((0.70, 0.734), False),  # less than 5 % above its lowest
        ((0.50, 0.70), False),  # no more than 0.01 above ln 2
        ((0.50, 0.71), True),
        ((1.90, 0.80), False),
        ((1.90,), False),
    ],
)
def test_a_loss_that_comes_apart_is_no_overfitting(train, apart):
    found = said(subject([(loss, loss + 0.3, None) for loss in train]))
    assert ("came_apart" in found) is apart
    diverged = apart or "beyond_untrained" in found
    assert any("overfitting" in key for key in found) is not diverged


def test_a_fall_of_train_loss_asks_for_more_training_unless_it_is_overfitting():
    lessons = {}
    for name, rows in {"learning": [(0.7, 0.65), (0.6, 0.6)], "overfitting": [(0.7, 0.6), (0.3, 0.7)]}.items():
        lessons[name] = sentences.text(said(subject([(*row, None) for row in rows]))["train_loss_fell"])
    assert "more epochs and more capacity help" in lessons["learning"]
    assert "more epochs and more capacity would not help" in lessons["overfitting"]


@pytest.mark.parametrize(
    "option", [{"label_smoothing": 0.1}, {"center_rewards_coefficient": 0.01}, {"use_margin": True}]
)
def test_a_loss_that_holds_more_than_the_pairs_has_no_gap(option):
    (name,) = option
    off = {name: type(option[name])(0)}
    rows = [(0.60, 0.60, None), (0.50, 0.56, None), (0.45, 0.62, None)]
    plain, found, early = (
        said(subject(rows[:count], config=config)) for count, config in ((3, off), (3, option), (2, option))
    )
    assert "gap_unknown" not in plain and "overfitting_turn" in plain
    assert name in sentences.text(found["gap_unknown"])
    assert {key for key in found if "overfitting" in key} == {"overfitting_turn_alone"}
    assert not {"train_above_val", "gap_small", "overfitting_gap"} & (found.keys() | early.keys())
    assert "no_turn" in early and "no_turn" not in found


def test_the_guides_own_ideal_path_is_never_called_overfitting():
    path = [(0.87, 0.59, 0.68), (0.67, 0.61, 0.71), (0.58, 0.57, 0.74), (0.52, 0.55, 0.76)]
    for epochs in range(1, 5):
        assert "no_overfitting" in said(subject(path[:epochs]))


@pytest.mark.parametrize(
    ("val", "epoch"),
    [((0.6, 0.55, 0.5), None), ((0.6, 0.55, 0.5526), None), ((0.6, 0.55, 0.5529), 2), ((0.5, 0.6, 0.7), 1)],
)
def test_turn_of_val_loss_names_its_epoch(val, epoch):
    found = said(vals(*val))
    assert ("val_loss_turned" in found) is (epoch is not None)
    if epoch is not None:
        assert found["val_loss_turned"].figures["epoch"] == epoch


@pytest.mark.parametrize(
    ("acc", "id"),
    [
        ((0.68, 0.72), "val_acc_rose"),
        ((0.680, 0.6825), "val_acc_rose"),
        ((0.680, 0.6815), "val_acc_flat"),
        ((0.680, 0.6785), "val_acc_flat"),
        ((0.680, 0.6775), "val_acc_fell"),
    ],
)
def test_val_acc(acc, id):
    found = said(accs(*acc))
    assert {key for key in found if key in ("val_acc_rose", "val_acc_flat", "val_acc_fell")} == {id}


@pytest.mark.parametrize(("gained", "lost", "proven"), [(16, 5, True), (15, 5, True), (14, 5, False)])
def test_a_rise_of_val_acc_that_the_pairs_do_not_bear_out_is_not_called_better(gained, lost, proven):
    first = {f"p{n}": (0.0, 1.0) if n < gained else (1.0, 0.0) for n in range(200)}
    last = {f"p{n}": (0.0, 1.0) if n >= 200 - lost else (1.0, 0.0) for n in range(200)}
    turned = accuracy_test(first, last)
    assert bool(stats.binomtest(lost, gained + lost).pvalue < 0.05) is proven
    found = read(accs(0.70, 0.70 + (gained - lost) / 200, n=200), paired={"epochs": turned})
    kinds = [row.id for row in found if row.id in ("val_acc_rose", "val_acc_unproven")]
    assert kinds == ["val_acc_rose" if proven else "val_acc_unproven"]
    climbs = {row.id: row.severity for row in found if "climbs" in row.id}
    assert climbs == ({"val_acc_climbs": "good"} if proven else {"val_acc_climbs_unproven": "info"})
    assert any(row.severity == "good" and row.id.startswith("val_acc") for row in found) is proven


def test_a_fall_of_val_acc_that_the_pairs_do_not_bear_out_is_not_called_worse():
    first = {f"p{n}": (1.0, 0.0) if n < 5 else (0.0, 1.0) for n in range(9)}
    turned = accuracy_test(first, {key: (b, a) for key, (a, b) in first.items()})
    found = {row.id for row in read(accs(0.70, 0.68, n=200), paired={"epochs": turned})}
    assert "val_acc_unproven" in found and "val_acc_fell" not in found


@pytest.mark.parametrize(
    ("val", "id"), [(0.61, "val_acc_rose_though_loss"), (0.60, "val_acc_rose"), (0.59, "val_acc_rose")]
)
def test_val_acc_that_rose_counts_though_val_loss_rose(val, id):
    found = said(subject([(None, 0.60, 0.68), (None, val, 0.72)]))
    assert found[id].severity == "good"
    assert ("val_acc_rose" in found) is (id == "val_acc_rose")


def test_val_acc_of_the_last_epoch_is_unknown_even_when_an_earlier_one_is_known():
    found = said(subject([(0.8, 0.6, 0.68), (0.7, 0.6, None)]))
    assert found["val_acc_unknown"].severity == "warning"
    assert "val_acc_unknown" not in said(subject([(0.8, 0.6, None), (0.7, 0.6, 0.68)]))


@pytest.mark.parametrize(("n", "half"), [(341, 0.048), (None, None)])
def test_val_acc_carries_its_interval_where_the_pairs_are_known(n, half):
    figures = said(accs(0.71, n=n))["val_acc_is"].figures
    assert figures["half"] == (pytest.approx(half, abs=0.001) if half else None)


@pytest.mark.parametrize(
    ("train", "id"),
    [
        ((0.9, 0.8, 0.7), "train_every_epoch"),
        ((0.9, 0.8, 0.799), "train_hardly_falls"),
        ((0.9, 0.8, 0.807), "train_hardly_falls"),
        ((0.9, 0.8, 0.809), "train_not_every_epoch"),
        ((0.8, 0.804), "train_not_every_epoch"),
    ],
)
def test_train_loss_falls_every_epoch(train, id):
    found = said(losses(*train))
    assert {"train_every_epoch", "train_hardly_falls", "train_not_every_epoch"} & found.keys() == {id}


@pytest.mark.parametrize("last", [0.6930, 0.6932, 0.6934])
def test_what_stands_still_neither_falls_nor_rises(last):
    found = said(subject([(0.6932, 0.6932, 0.500), (last, last, 0.501)]))
    assert {"train_loss_flat", "val_loss_flat", "val_acc_flat"} <= found.keys()
    moving = {"train_every_epoch", "train_not_every_epoch", "val_starts_falling", "val_acc_climbs"}
    assert not moving & found.keys()
    assert found["train_hardly_falls"].figures["still"] == [2]


def test_a_slow_fall_of_val_loss_is_a_fall():
    found = said(vals(0.6000, 0.5990, 0.5980, 0.5970))
    assert "val_loss_fell" in found and found["val_starts_falling"].figures["epoch"] == 3


def test_over_fitting_needs_a_train_loss_that_falls():
    assert "overfitting_turn" in said(subject([(0.50, 0.60, None), (0.45, 0.65, None)]))
    assert "overfitting_turn" not in said(subject([(0.50, 0.60, None), (0.4995, 0.65, None)]))


def test_the_epoch_at_which_val_loss_starts_to_fall():
    assert said(vals(0.59, 0.61, 0.57))["val_starts_falling"].figures["epoch"] == 3
    assert said(vals(0.59, 0.61, 0.60))["val_starts_falling"].figures["epoch"] == 3  # above the first
    assert "val_not_falling" in said(vals(0.59, 0.61, 0.61))


@pytest.mark.parametrize(
    ("acc", "id"),
    [
        ((0.68, 0.71, 0.74), "val_acc_climbs"),
        ((0.68, 0.67, 0.74), "val_acc_climbs_with_falls"),
        ((0.68, 0.71, 0.68), "val_acc_not_climbing"),
    ],
)
def test_val_acc_climbs(acc, id):
    found = said(accs(*acc))
    assert {key for key in found if "climb" in key} == {id}


def test_one_epoch_alone_says_what_to_watch():
    assert "watch_unknown" in said(losses(0.9))
    assert "watch_unknown" not in said(losses(0.9, 0.8))


@pytest.mark.parametrize(
    ("train", "acc", "there"),
    [
        ((LN2 + 0.009,), 0.5, True),
        ((LN2 - 0.009, LN2 - 0.005), 0.54, True),
        ((LN2 - 0.011,), 0.5, False),
        ((LN2,), 0.56, False),
        ((LN2,), None, True),
        ((0.87, LN2), None, False),
    ],
)
def test_stuck_at_ln2(train, acc, there):
    assert ("stuck_at_ln2" in said(subject([(loss, None, acc) for loss in train]))) is there


@pytest.mark.parametrize(("before", "there"), [(0.8755, False), (0.704, False), (0.702, True), (0.68, True)])
def test_one_epoch_on_its_way_down_through_ln2_is_not_stuck(before, there):
    """Imported runs know their last epoch only; the run before tells where the loss came from."""
    assert ("stuck_at_ln2" in said(losses(0.6931), losses(before))) is there


@pytest.mark.parametrize(
    ("config", "peak", "there"),
    [
        ({"warmup_ratio": 0.3}, None, False),
        ({"warmup_ratio": 0.31}, None, True),
        ({"warmup_ratio": 0.1}, 31, True),
        ({"warmup_ratio": 0.1}, 30, False),
        ({}, None, False),
        ({"warmup_ratio": 0.1, "lr_scheduler": "constant"}, 90, False),
    ],
)
def test_late_warmup(config, peak, there):
    item = subject([(0.8, 0.7, 0.6)], config=config, total_steps=100, more={"peak_step": peak})
    assert ("late_warmup" in said(item)) is there


@pytest.mark.parametrize(
    ("rewards", "there"),
    [
        ([(1, 2.9, 1.0)], False),
        ([(1, 3.1, 1.0)], True),
        ([(1, -3.1, 1.0)], True),
        ([(1, 0.0, 1.0), (2, 1.4, 1.0)], False),
        ([(1, 0.0, 1.0), (2, 1.6, 1.0)], True),
        ([(1, 2.5, 1.0), (2, 0.5, 1.0)], False),
    ],
)
def test_rewards_drift(rewards, there):
    item = subject([(0.8, 0.7, 0.6)], more={"rewards": tuple(RewardSummary(*row) for row in rewards)})
    assert ("rewards_drift" in said(item)) is there


def test_nan_is_an_error_wherever_it_stands():
    by_step = subject([(0.8, 0.7, 0.6)], more={"bad_values": (BadValue("loss", 412), BadValue("loss", 413))})
    assert said(by_step)["non_finite"].figures == {"metric": "loss", "step": 412, "count": 2}
    assert said(subject([(math.nan, 0.7, 0.6)]))["non_finite"].severity == "error"
    assert said(subject([(0.8, math.inf, 0.6)]))["non_finite"].severity == "error"
    assert "non_finite" not in said(subject([(0.8, 0.7, 0.6)]))


@pytest.mark.parametrize(
    ("acc", "n", "there"),
    [
        ((0.70, 0.73), 341, True),
        ((0.70, 0.76), 341, False),
        ((0.70, 0.71), 499, True),
        ((0.70, 0.71), 500, False),
        ((0.70, 0.71), None, False),
    ],
)
def test_val_curve_too_noisy_for_its_size(acc, n, there):
    assert ("val_noisy" in said(accs(*acc, n=n))) is there


@pytest.mark.parametrize(
    ("before", "after", "id"),
    [
        ((16, 64), (32, 64), "alpha_fixed"),
        ((16, 32), (32, 64), None),
        ((32, 64), (26, 64), None),
        ((32, 64), (25, 64), "alpha_fixed"),
        ((16, None), (32, None), "alpha_unknown"),
        ((32, 64), (32, 128), None),
    ],
)
def test_alpha_fixed_while_r_changes(before, after, id):
    first, second = (
        subject([(0.8, 0.7, 0.6)], name=name, config={"lora": {"r": r, "alpha": alpha}})
        for name, (r, alpha) in (("a", before), ("b", after))
    )
    assert {key for key in said(second, first) if key.startswith("alpha")} == ({id} if id else set())


@pytest.mark.parametrize(("one", "other", "there"), [("x", "y", True), ("x", "x", False), (None, "y", False)])
def test_different_validation_sets_are_warned_of(one, other, there):
    first = subject([(0.8, 0.7, 0.6)], name="a", val_fingerprint=one)
    second = subject([(0.8, 0.7, 0.6)], name="b", val_fingerprint=other)
    assert ("val_sets_differ" in said(second, first)) is there


@pytest.mark.parametrize(
    ("one", "other", "severity"),
    [("x", None, "warning"), (None, "y", "warning"), (None, None, "info"), ("x", "x", None), ("x", "y", None)],
)
def test_sets_not_known_to_be_the_same_are_warned_of(one, other, severity):
    first = subject([(0.8, 0.7, 0.6)], name="a", val_fingerprint=one)
    second = subject([(0.8, 0.7, 0.6)], name="b", val_fingerprint=other)
    reading = said(second, first).get("val_sets_unknown")
    assert (reading.severity if reading else None) == severity


def test_without_a_figure_in_common_there_is_nothing_to_warn_of():
    assert "val_sets_unknown" not in said(subject([(0.8, None, None)]), subject([(None, 0.7, None)]))


def test_every_threshold_is_an_argument():
    assert "gap_warning" in said(subject([(0.5, 0.6, None)]), limits=Thresholds(gap_warning=0.05))
    assert "val_loss_rose" in said(vals(0.6, 0.61), limits=Thresholds(small_rise=0.01))


def test_a_silenced_reading_is_not_made():
    item = subject([(0.40, 0.70, None)])
    assert "gap_warning" not in {reading.id for reading in read(item, silenced={"gap_warning"})}


def test_a_run_without_figures_says_nothing():
    assert said(subject([])) == {}


THREE = [(0.90, 0.65, 0.66), (0.60, 0.60, 0.71), (0.50, 0.55, 0.75)]


def test_an_unfinished_run_is_held_against_the_same_epoch():
    before = subject(THREE, name="done")
    found = said(subject([(0.92, 0.64, 0.67)], state=State.RUNNING), before)
    assert {"train_loss_rose", "val_loss_fell", "val_acc_rose"} <= found.keys() and "val_acc_fell" not in found
    assert (found["val_acc_rose"].figures["first"], found["val_acc_rose"].figures["at_epoch"]) == (0.66, 1)
    assert "against done at epoch 1" in sentences.text(found["val_acc_rose"])


def test_a_finished_run_is_held_against_the_epoch_of_one_under_way():
    found = said(subject(THREE), subject([(0.92, 0.66, 0.60)], name="begun", state=State.RUNNING))
    against = read(subject(THREE), subject([(0.92, 0.66, 0.60)], state=State.RUNNING))
    assert {item.figures["last"] for item in against if item.figures.get("scope") == "runs"} == set(THREE[0])
    assert "val_acc_rose" in found


def test_nothing_is_said_against_a_run_that_lacks_the_epoch():
    before = subject([THREE[1]], name="old", state=State.IMPORTED, first_epoch=2)
    assert not [item for item in read(subject([THREE[0]], state=State.RUNNING), before) if "scope" in item.figures]
    assert [item for item in read(subject([THREE[0]]), before) if "scope" in item.figures]


def test_finished_runs_of_different_lengths_are_held_against_each_other_at_their_ends():
    found = said(subject(THREE), subject(THREE[:1]))
    assert (found["val_acc_rose"].figures["first"], found["val_acc_rose"].figures["last"]) == (0.66, 0.75)


def test_training_pairs_that_were_measured_alike_are_reported_in_place_of_train_loss():
    facts = TrainFacts(1.0, 0.41, 0.83, 500)
    measured = said(subject([(0.67, 0.6, 0.7)], more={"trained": facts}))
    assert "train_measured" in measured and "train_above_val" not in measured
    old = said(subject([(0.69, 0.62, 0.7), (0.67, 0.6, 0.7)], more={"trained": facts}))
    assert "train_measured" not in old and "train_above_val" in old
